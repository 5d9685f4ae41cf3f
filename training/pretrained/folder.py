"""One network out of a folder in diffusers' layout: whole or sharded, safetensors or .bin, with or without a variant.

Knows nothing about pipelines.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

import torch

from handfirst.engines.errors import UserError

M = TypeVar("M")

_STEM = r"(diffusion_pytorch_model|pytorch_model|model)"
_PLAIN = re.compile(rf"{_STEM}\.(safetensors|bin)(\.index\.json)?")
_VARIANT = (  # whole, and the index of a sharded one
    re.compile(rf"{_STEM}\.(?P<name>\w+)\.(safetensors|bin)"),
    re.compile(rf"{_STEM}\.(safetensors|bin)\.index\.(?P<name>\w+)\.json"),
)


def read_folder(kind: type[M], folder: Path) -> M:
    """`kind.from_pretrained` in float32, from this folder alone; a variant such as fp16 is found by itself.

    Raises:
        UserError: no config or weights there, or they do not fit each other.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: expected a diffusers folder with config.json; is the download complete?")
    options = {"variant": find_variant(folder), "local_files_only": True, "torch_dtype": torch.float32}
    try:
        found, loaded = kind.from_pretrained(str(folder), output_loading_info=True, **options)  # type: ignore[attr-defined]
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"{folder}: cannot read {kind.__name__}: {reason}") from error
    if missing := sorted(loaded["missing_keys"]):  # the libraries only warn, and go on with random numbers
        raise UserError(f"{folder}: {len(missing)} weights are missing, {missing[0]} among them; copy it again")
    model: M = found
    return model


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
