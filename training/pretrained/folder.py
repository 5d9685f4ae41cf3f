"""A folder in diffusers' layout: is it a plain Stable Diffusion 1.x, told by its configurations before any weights; and
one network out of it, whole or sharded, safetensors or .bin, with or without a variant.

Knows nothing about single files.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TypeVar

import torch

from handfirst.engines.errors import UserError
from handfirst.training.pretrained.file_kinds import kind_of, one_line
from handfirst.training.pretrained.original import check_inputs

M = TypeVar("M")

LARGEST_JSON = 64 << 20
"""Bytes; the longest are the indices of sharded weights, far below."""
MOST = {"num_hidden_layers": 256, "layers_per_block": 64, "transformer_layers_per_block": 64, "block_out_channels": 16}
"""Of a config.json: what would build networks without end, numbers or lengths of lists."""

_STEM = r"(diffusion_pytorch_model|pytorch_model|model)"
_PLAIN = re.compile(rf"{_STEM}\.(safetensors|bin)(\.index\.json)?")
_VARIANT = (  # whole, and the index of a sharded one
    re.compile(rf"{_STEM}\.(?P<name>\w+)\.(safetensors|bin)"),
    re.compile(rf"{_STEM}\.(safetensors|bin)\.index\.(?P<name>\w+)\.json"),
)
_WEIGHTS = re.compile(rf"{_STEM}[\w.-]*\.(safetensors|bin)")
_NUMBERS_A_BYTE = 8
"""Of packed weights: where a config.json asks for more than so many, it is not that of the weights beside it."""


def read_folder(kind: type[M], folder: Path) -> M:
    """`kind.from_pretrained` in float32, from this folder alone; a variant such as fp16 is found by itself.

    Raises:
        UserError: no config or weights there, other kinds of files, or they do not fit each other.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: expected a diffusers folder with config.json; is the download complete?")
    config = read_json(folder / "config.json")
    options = {"variant": find_variant(folder), "local_files_only": True, "torch_dtype": torch.float32}
    files = [path for path in sorted(folder.iterdir()) if _WEIGHTS.fullmatch(path.name)]
    for file in files:
        kind_of(file)
    with one_line(folder, f"cannot read {kind.__name__}", "copy it again"):
        _check_size(kind, config, sum(file.stat().st_size for file in files))
        found, loaded = kind.from_pretrained(str(folder), output_loading_info=True, **options)  # type: ignore[attr-defined]
    if missing := sorted(loaded["missing_keys"]):  # the libraries only warn, and go on with random numbers
        raise UserError(f"{folder}: {len(missing)} weights are missing, {missing[0]} among them; copy it again")
    model: M = found
    return model


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UserError: no such file, something else in it, or far too much.
    """
    with one_line(file, "not a JSON file", "copy it again"):
        if file.stat().st_size > LARGEST_JSON:
            raise UserError(f"{file}: expected a short JSON file, got {file.stat().st_size} bytes; copy it again")
        text = file.read_text(encoding="utf-8-sig")
        if text.startswith("version https://git-lfs"):
            raise UserError(f"{file}: a git-lfs pointer; run `git lfs pull`, or download the file itself")
        found = json.loads(text)
    if not isinstance(found, dict):
        raise UserError(f"{file}: expected a JSON object, got {type(found).__name__}; copy it again")
    return found


def find_variant(folder: Path) -> str | None:
    """None where plain weights are there, else the NAME in "model.NAME.safetensors" (the first by alphabet).

    Raises:
        UserError: no weights at all.
    """
    names = sorted(path.name for path in folder.iterdir())
    if any(_PLAIN.fullmatch(name) for name in names):
        return None
    for name in names:
        for pattern in _VARIANT:
            if match := pattern.fullmatch(name):
                return match["name"]
    raise UserError(f"{folder}: config.json has no weights beside it; is the download complete?")


def _check_size(kind: Any, config: dict[str, Any], size: int) -> None:
    """Refuses a configuration whose network the weights cannot fill, before it takes memory or time.

    Args:
        kind: a class of diffusers or transformers.
        config: config.json.
        size: bytes of all weights beside it.

    Raises:
        ValueError: says what makes no sense. Others from the libraries.
    """
    for name, most in MOST.items():
        value = config.get(name)
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and name != "block_out_channels" and not 0 <= number <= most:
                raise ValueError(f"config.json: {name} is {number!r:.40}")
        if isinstance(value, list) and len(value) > most:
            raise ValueError(f"config.json: {name} has {len(value)} values")
    with torch.device("meta"):
        settings = getattr(kind, "config_class", None)
        model = kind(settings.from_dict(config)) if settings else kind.from_config(config)
    numbers = sum(parameter.numel() for parameter in model.parameters())
    if numbers > _NUMBERS_A_BYTE * size:
        raise ValueError(f"config.json asks for {numbers} numbers, the weights have {size} bytes")


WIDTH_2 = 1024
"""Of 2.x's text; 1.x has 768."""
_PLAIN_UNET: dict[str, tuple[Any, ...]] = {
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
    "addition_embed_type": (None,),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "time_cond_proj_dim": (None,),
    "time_embedding_type": (None, "positional"),
    "attention_type": (None, "default"),
}
"""Of the config.json of a UNet that is told the time and the text alone; others need more than a sampler gives."""


def check_pipeline(path: Path) -> None:
    """Only version 1.x, and nothing that needs other inputs.

    Raises:
        UserError: names what the folder is instead, or what is missing.
    """
    index = path / "model_index.json"
    if not index.is_file():
        raise UserError(f"{path}: expected a diffusers folder with model_index.json, or a single file")
    name = read_json(index).get("_class_name", "nothing")
    if not isinstance(name, str) or not name.startswith("StableDiffusion") or "XL" in name or "3" in name:
        raise UserError(f"{path}: expected a Stable Diffusion 1.x pipeline, got {name!s:.60}")
    unet, text = _config(path / "unet"), _config(path / "text_encoder")
    if (
        unet.get("cross_attention_dim") == WIDTH_2
        or unet.get("use_linear_projection")
        or text.get("hidden_size") == WIDTH_2
        or text.get("hidden_act") == "gelu"
    ):
        raise UserError(f"{path}: expected Stable Diffusion 1.x, got a 2.x checkpoint; give a 1.x one")
    if "in_channels" in unet:
        check_inputs(unet["in_channels"], path)
    for key, plain in _PLAIN_UNET.items():
        if unet.get(key) not in plain:
            raise UserError(
                f"{path}: expected a plain UNet, got one with {key} = {unet[key]!r:.40}, which is not supported; "
                "give another checkpoint"
            )


def folder_clip_skip(path: Path) -> int:
    """How many of the text encoder's last layers the folder says to leave out, counted as diffusers' clip_skip.

    Raises:
        UserError: it says no count.
    """
    for said in (read_json(path / "model_index.json"), _config(path / "text_encoder")):
        count = said.get("clip_skip")
        if count is not None and (type(count) is not int or count < 0):
            raise UserError(f"{path}: clip_skip: expected a count of layers, got {count!r:.40}")
        if count:
            return int(count)
    return 0


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    return read_json(file) if file.is_file() else {}
