"""The seam: what an engine is. Everything that runs a graph, whatever the library, looks like this to the runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import EngineError
from handfirst.engines.spec import EngineSpec, TensorSpec

Array = NDArray[Any]


class Engine(Protocol):
    """One opened graph. `run` may be called from many threads at once."""

    @property
    def name(self) -> str:
        """The role it plays, for messages."""
        ...

    @property
    def spec(self) -> EngineSpec:
        """What it takes and gives."""
        ...

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name. Raises EngineError if an input does not match the spec."""
        ...

    def close(self) -> None:
        """Frees what it holds; a later run raises EngineError."""
        ...


def check_inputs(spec: EngineSpec, inputs: Mapping[str, Array], name: str) -> None:
    """Names, dtypes and shapes against the spec; an axis name stands for one size throughout.

    Raises:
        EngineError: one line with the engine, the input, what was expected and what came.
    """
    wanted = {tensor.name: tensor for tensor in spec.inputs}
    if missing := sorted(wanted.keys() - inputs.keys()):
        raise EngineError(f"{name}: missing input {', '.join(missing)}; it takes {', '.join(wanted)}")
    if extra := sorted(inputs.keys() - wanted.keys()):
        raise EngineError(f"{name}: unknown input {', '.join(extra)}; it takes {', '.join(wanted)}")
    sizes: dict[str, int] = {}
    for key, tensor in wanted.items():
        _check_one(tensor, inputs[key], sizes, name)


def _check_one(tensor: TensorSpec, array: Array, sizes: dict[str, int], name: str) -> None:
    fits = str(array.dtype) == tensor.dtype and array.ndim == len(tensor.shape)
    if fits:
        for axis, size in zip(tensor.shape, array.shape, strict=True):
            fits = fits and (size == axis if isinstance(axis, int) else sizes.setdefault(axis, size) == size)
    if not fits:
        axes = ", ".join(f"{a}={sizes[a]}" if isinstance(a, str) and a in sizes else str(a) for a in tensor.shape)
        raise EngineError(
            f"{name}: input '{tensor.name}' expected {tensor.dtype} [{axes}], got {array.dtype} "
            f"[{', '.join(map(str, np.shape(array)))}]"
        )
