"""A stand-in for CUDA: device memory is host memory, which holds NaNs until it is written.

A stream does nothing until it is waited for, so that what is read too early is wrong here too. The device has a clock
of its own: a copy takes a second of it, and whatever else a stream is given may add to `now`. `counts` says how often
the host copied, waited, and launched.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from support.step_on_host import compiled_step

from handfirst.engines.cuda.layout import LOOP
from handfirst.engines.errors import EngineError


class FakeCuda:
    """See handfirst.engines.cuda.device.Cuda. `room` is what the GPU has, in bytes."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.blocks: dict[int, bytearray] = {}
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.allocations: list[int] = []
        self.events: dict[int, float | None] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.counts: Counter[str] = Counter()
        self.captures_nothing = False  # as happens when another device is current
        self.now = 0.0
        self._next = 0x7000

    def current(self) -> None: ...

    def allocate(self, size: int) -> int:
        if size > self.room - sum(map(len, self.blocks.values())):
            raise EngineError("CUDA: allocate failed: CUDA_ERROR_OUT_OF_MEMORY")
        block = bytearray(b"\xff" * max(size, 1))  # what was there before is not zero
        address = ctypes.addressof(ctypes.c_char.from_buffer(block))
        self.blocks[address] = block
        self.allocations.append(size)
        return address

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
        self.counts["upload"] += 1
        data = array.tobytes()

        def copy() -> None:
            self.now += 1
            self.blocks[address][: len(data)] = data

        self.streams[stream].append(copy)

    def download(self, array: np.ndarray[Any, Any], address: int, stream: int) -> None:
        assert array.flags.c_contiguous and array.nbytes <= len(self.blocks[address])
        self.counts["download"] += 1

        def copy() -> None:
            self.now += 1
            array[...] = np.frombuffer(self.blocks[address], array.dtype, array.size).reshape(array.shape)

        self.streams[stream].append(copy)

    def wait(self, stream: int) -> None:
        self.counts["wait"] += 1
        work, self.streams[stream] = self.streams[stream], []
        for piece in work:
            piece()

    def memory(self) -> tuple[int, int]:
        return self.room - sum(map(len, self.blocks.values())), self.room

    def event(self) -> int:
        self._next += 256
        self.events[self._next] = None
        return self._next

    def record(self, event: int, stream: int) -> None:
        self.events[event] = None

        def happen() -> None:
            if event in self.events:  # one that was given back meanwhile is nobody's
                self.events[event] = self.now

        self.streams[stream].append(happen)

    def happened(self, event: int) -> None:
        queue = next((queue for queue in self.streams.values() if queue), [])
        while self.events[event] is None:
            queue.pop(0)()

    def elapsed(self, start: int, end: int) -> float:
        before, after = self.events[start], self.events[end]
        assert before is not None and after is not None, "asked before the stream was done"
        return after - before

    def forget(self, event: int) -> None:
        del self.events[event]

    def step(self, loop: int, batch: int, values: int, stream: int) -> None:
        self.counts["step"] += 1

        def run() -> None:
            struct = np.frombuffer(self.blocks[loop], LOOP, 1)
            assert (struct["batch"][0], struct["values"][0]) == (batch, values)
            compiled_step()(struct)

        self.streams[stream].append(run)

    def capture(self, work: Callable[[], None], stream: int) -> int:
        self.counts["capture"] += 1
        before, self.streams[stream] = self.streams[stream], []
        counts = self.counts.copy()
        work()
        self.counts = counts
        self._next += 256
        self.graphs[self._next] = [] if self.captures_nothing else self.streams[stream]
        self.streams[stream] = before
        return self._next

    def launch(self, graph: int, stream: int) -> None:
        self.counts["graph"] += 1
        self.streams[stream].extend(self.graphs[graph])

    def drop(self, graph: int) -> None:
        del self.graphs[graph]
