"""A stand-in for CUDA: device memory is host memory behind made-up addresses.

A stream does nothing until it is waited for, so that what is read too early is wrong here too. The device has a clock
of its own: a copy takes a second of it, and whatever else a stream is given may add to `now`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from handfirst.engines.errors import EngineError


class FakeCuda:
    """See handfirst.engines.nvidia.cuda_runtime.Cuda. `room` is what the GPU has, in bytes."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.blocks: dict[int, bytearray] = {}
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.allocations: list[int] = []
        self.events: dict[int, float | None] = {}
        self.now = 0.0
        self._next = 0x7000_0000

    def allocate(self, size: int) -> int:
        if size > self.room - sum(map(len, self.blocks.values())):
            raise EngineError("CUDA: cudaMalloc failed: cudaErrorMemoryAllocation")
        self._next += (size // 256 + 1) * 256
        self.blocks[self._next] = bytearray(b"\xff" * size)  # what was there before is not zero
        self.allocations.append(size)
        return self._next

    def free(self, address: int) -> None:
        assert not any(self.streams.values()), "freed while work was under way"
        del self.blocks[address]

    def stream(self) -> int:
        self._next += 256
        self.streams[self._next] = []
        return self._next

    def destroy(self, stream: int) -> None:
        assert not self.streams.pop(stream)

    def upload(self, address: int, array: np.ndarray[Any, Any], stream: int) -> None:
        assert array.flags.c_contiguous and array.nbytes <= len(self.blocks[address])

        def copy() -> None:
            self.now += 1
            self.blocks[address][: array.nbytes] = array.tobytes()

        self.streams[stream].append(copy)

    def download(self, array: np.ndarray[Any, Any], address: int, stream: int) -> None:
        assert array.flags.c_contiguous and array.nbytes <= len(self.blocks[address])

        def copy() -> None:
            self.now += 1
            array[...] = np.frombuffer(self.blocks[address], array.dtype, array.size).reshape(array.shape)

        self.streams[stream].append(copy)

    def wait(self, stream: int) -> None:
        work, self.streams[stream] = self.streams[stream], []
        for step in work:
            step()

    def memory(self) -> tuple[int, int]:
        return self.room - sum(map(len, self.blocks.values())), self.room

    def event(self) -> int:
        self._next += 256
        self.events[self._next] = None
        return self._next

    def record(self, event: int, stream: int) -> None:
        self.events[event] = None

        def happen() -> None:
            self.events[event] = self.now

        self.streams[stream].append(happen)

    def elapsed(self, start: int, end: int) -> float:
        before, after = self.events[start], self.events[end]
        assert before is not None and after is not None, "asked before the stream was done"
        return after - before

    def forget(self, event: int) -> None:
        del self.events[event]
