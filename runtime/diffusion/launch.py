"""An engine's part in every step of a loop on a GPU: whether it can take part, and what it reads and writes there.

Knows nothing about what a step is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from handfirst.engines.cuda.lane import Lane
from handfirst.engines.engine import Engine, Placed, StreamEngine
from handfirst.engines.errors import EngineError
from handfirst.engines.spec import EngineSpec
from handfirst.runtime.running import most_rows


@dataclass(frozen=True, eq=False)
class Launch:
    """An engine's part in every step, over the memory of a loop."""

    engine: StreamEngine
    tensors: Mapping[str, Placed]
    queue: Callable[[], None]
    """See StreamEngine.bind."""

    @property
    def nbytes(self) -> int:
        """Of all tensors that go in and come out."""
        return sum(placed.nbytes for placed in self.tensors.values())

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the inputs, in the order of the spec."""
        return tuple(self.tensors[tensor.name].shape for tensor in self.engine.spec.inputs)

    @staticmethod
    def of(engine: Engine, tensors: Mapping[str, Placed]) -> Launch:
        """Binds an engine of which `common_lane` has told."""
        assert isinstance(engine, StreamEngine)
        return Launch(engine, tensors, engine.bind(tensors))


def common_lane(rows: int, *engines: Engine) -> Lane | None:
    """The GPU stream that all of them work on; None where one of them cannot, or takes fewer rows at once: the loop
    must then be NumPy's."""
    lanes = [engine.lane if isinstance(engine, StreamEngine) else None for engine in engines]
    fits = all(rows <= most_rows(engine.spec) for engine in engines)
    return lanes[0] if fits and all(lane is not None and lane is lanes[0] for lane in lanes) else None


def output_shapes(spec: EngineSpec, inputs: Mapping[str, Placed]) -> dict[str, tuple[int, ...]]:
    """Of an engine's outputs, whose free axes have the sizes that they have in its inputs.

    Raises:
        EngineError: an axis that no input has.
    """
    sizes = {
        axis: size
        for tensor in spec.inputs
        if tensor.name in inputs
        for axis, size in zip(tensor.shape, inputs[tensor.name].shape, strict=True)
    }
    return {tensor.name: tuple(_size(axis, sizes) for axis in tensor.shape) for tensor in spec.outputs}


def _size(axis: int | str, sizes: Mapping[int | str, int]) -> int:
    """Of an output's axis: fixed, or an input's, or, as export names the axes of smaller maps, a share of an input's:
    "rows_4" is a quarter of "rows"."""
    if isinstance(axis, int) or axis in sizes:
        return axis if isinstance(axis, int) else sizes[axis]
    whole, _, share = axis.rpartition("_")
    if whole not in sizes or not share.isdecimal() or not int(share):
        raise EngineError(f"an output's axis '{axis}' is none of the inputs' axes; export the bundle again")
    return sizes[whole] // int(share)
