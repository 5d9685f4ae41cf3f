"""One file of weights -> tensors by name. Nothing in a file is ever executed.

Knows nothing about what the names mean.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from handfirst.engines.errors import UserError

PICKLED = (".ckpt", ".bin", ".pt", ".pth")


def read_weights(file: Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors file, or of a pickled one, read without running what is in it.

    A "state_dict" inside a pickled file (training checkpoints) is opened; what is no tensor is left out.

    Raises:
        UserError: no such file, another kind of file, a damaged one, or one that holds more than weights.
    """
    if not file.is_file():
        raise UserError(f"{file}: no such file; give a checkpoint (.safetensors, .ckpt) or a diffusers folder")
    try:
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        if file.suffix in PICKLED:
            found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
            while isinstance(found.get("state_dict"), dict):
                found = found["state_dict"]
            return {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{file}: holds more than weights, or is damaged, and is not opened; convert it to .safetensors"
        ) from error
    except (SafetensorError, RuntimeError, OSError, ValueError, EOFError, AttributeError) as error:
        raise UserError(f"{file}: damaged or not a checkpoint ({_first_line(error)}); copy it again") from error
    raise UserError(f"{file}: expected .safetensors or {', '.join(PICKLED)}, got {file.suffix or 'no suffix'}")


def without_prefix(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, under the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
