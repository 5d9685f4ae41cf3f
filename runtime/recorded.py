"""An engine whose calls are spans (recorder.py). Tensors stay where they were; results are the engine's own.

Knows nothing about what is recorded besides, or what becomes of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import prod
from time import perf_counter_ns

import numpy as np

from handfirst.engines.engine import Array, DeviceArray, DeviceEngine, Engine, Tensor, TimedEngine
from handfirst.runtime.recorder import listened, record


def recorded(engine: Engine) -> Engine:
    """The same engine, and a DeviceEngine again if it is one."""
    return RecordedDeviceEngine(engine) if isinstance(engine, DeviceEngine) else RecordedEngine(engine)


class RecordedEngine:
    """See Engine; without a listener a call costs one look more."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.spec = engine.spec
        self._engine = engine
        self._timed = engine if isinstance(engine, TimedEngine) else None

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See Engine."""
        if not listened():
            return self._engine.run(inputs)
        start = perf_counter_ns()
        if self._timed is None:
            outputs = self._engine.run(inputs)
            self._note(start, inputs, outputs)
            return outputs
        found, device = self._timed.run_timed(inputs)
        self._note(start, inputs, found, device)
        return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}

    def close(self) -> None:
        """See Engine."""
        self._engine.close()

    def _note(
        self, start: int, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], device: float | None = None
    ) -> None:
        end = perf_counter_ns()
        size = sum(map(_bytes, inputs.values())) + sum(map(_bytes, outputs.values()))
        shapes = tuple(tuple(inputs[tensor.name].shape) for tensor in self.spec.inputs)
        record(self.name, "engine", start, end, size, shapes, None if device is None else round(device * 1e9))


class RecordedDeviceEngine(RecordedEngine):
    """See DeviceEngine. Copies to the device that happen on upload belong to the host's time."""

    _engine: DeviceEngine

    @property
    def place(self) -> str:
        """See DeviceEngine."""
        return self._engine.place

    def upload(self, array: Array) -> DeviceArray:
        """See DeviceEngine."""
        return self._engine.upload(array)

    def run_resident(self, inputs: Mapping[str, Tensor], keep: Collection[str]) -> dict[str, Tensor]:
        """See DeviceEngine."""
        if not listened():
            return self._engine.run_resident(inputs, keep)
        start, device = perf_counter_ns(), None
        if self._timed is None:
            outputs = self._engine.run_resident(inputs, keep)
        else:
            outputs, device = self._timed.run_timed(inputs, keep)
        self._note(start, inputs, outputs, device)
        return outputs


def _bytes(tensor: Tensor) -> int:
    if isinstance(tensor, np.ndarray):
        return tensor.nbytes
    item = 2 if tensor.dtype == "bfloat16" else np.dtype(tensor.dtype).itemsize  # NumPy alone lacks the name
    return prod(tensor.shape) * item
