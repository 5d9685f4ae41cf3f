"""An engine that works on a fake GPU's stream: it computes when the stream does, in the stream's memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from handfirst.engines.cuda.lane import Lane
from handfirst.engines.engine import Engine, Placed, check_placed


class FakeStreamEngine:
    """See handfirst.engines.engine.StreamEngine; what it computes is another engine's.

    `takes` is what a run costs of the fake GPU's clock; `computes_in` may be changed, as a growing arena would.
    """

    takes = 0.5

    def __init__(self, engine: Engine, lane: Lane | None, captured: bool = True) -> None:
        self.name, self.spec = engine.name, engine.spec
        self.lane, self.captured = lane, captured
        self.computes_in: object = 1
        self._engine = engine

    def run(
        self, inputs: Mapping[str, np.ndarray[Any, Any]], wanted: Collection[str] | None = None
    ) -> dict[str, np.ndarray[Any, Any]]:
        return self._engine.run(inputs, wanted)

    def close(self) -> None:
        self._engine.close()

    def bind(self, tensors: Mapping[str, Placed]) -> Callable[[], None]:
        check_placed(self.spec, tensors, self.name)
        lane = self.lane
        assert lane is not None
        cuda: Any = lane.cuda
        views = {name: view(placed) for name, placed in tensors.items()}
        bound_to = self.computes_in

        def compute() -> None:
            cuda.now += self.takes
            outputs = self._engine.run({tensor.name: views[tensor.name].copy() for tensor in self.spec.inputs})
            for name, array in outputs.items():
                views[name][...] = array

        def launch() -> None:
            cuda.put(lane.stream, compute, "engine")

        assert bound_to is not None
        return launch


def view(placed: Placed) -> np.ndarray[Any, Any]:
    """The memory as an array."""
    memory = (ctypes.c_uint8 * placed.nbytes).from_address(placed.address)
    return np.frombuffer(memory, placed.dtype).reshape(placed.shape)
