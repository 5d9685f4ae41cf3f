"""One file of weights -> tensors by name. Nothing in a file is ever executed.

Knows nothing about what the names mean.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from handfirst.engines.errors import UserError
from handfirst.training.pretrained.archive import read_archive, read_legacy
from handfirst.training.pretrained.file_kinds import Kind, kind_of
from handfirst.training.pretrained.guard import one_line
from handfirst.training.pretrained.inert import HostileError

Weights = dict[str, Tensor]
_READERS: dict[Kind, Callable[[Path], Weights]] = {"safetensors": load_file, "zip": read_archive, "pickle": read_legacy}


def read_weights(file: Path) -> Weights:
    """All tensors of a .safetensors file, or of one that torch.save wrote; the first bytes say which it is.

    A "state_dict" inside (training checkpoints) is opened; what is no tensor is left out.

    Raises:
        UserError: no such file, another kind of file, a damaged one, or one that would call functions.
    """
    kind = kind_of(file)
    with one_line(file, "damaged or not a checkpoint", "copy it again"):
        try:
            return dict(_READERS[kind](file))
        except HostileError as error:
            raise UserError(
                f"{file}: holds more than weights, and is not opened: it would call {error}; get it from its author "
                "as .safetensors, or convert it to that where you trust it"
            ) from error


def read_metadata(file: Path) -> dict[str, str]:
    """The words in the header of a .safetensors file; none for other kinds, or where there are none.

    Raises:
        UserError: as `read_weights`.
    """
    if kind_of(file) != "safetensors":
        return {}
    with (
        one_line(file, "damaged or not a checkpoint", "copy it again"),
        safe_open(file, framework="pt") as opened,
    ):
        return dict(opened.metadata() or {})


def without_prefix(weights: Weights, prefix: str) -> Weights:
    """The tensors whose names begin with `prefix`, under the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
