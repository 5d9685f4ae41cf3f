"""A diffusers folder as a whole: is it a plain Stable Diffusion 1.x, told by its configurations before any weights.

Knows nothing about single files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from handfirst.engines.errors import UserError
from handfirst.training.pretrained.folder import read_json
from handfirst.training.pretrained.original import check_inputs

WIDTH_2 = 1024
"""Of 2.x's text; 1.x has 768."""
_PLAIN: dict[str, tuple[Any, ...]] = {
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
    for key, plain in _PLAIN.items():
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
