"""A stand-in for CUDA: device memory is host memory, which holds NaNs until it is written.

A stream does nothing until it is waited for, so that what is read too early is wrong here too. The device has a clock
of its own: a copy takes a second of it, and whatever else a stream is given may add to `now`. `counts` says how often
the host copied, waited, and launched; a copy that a graph holds counts with every launch of the graph. Threads may
share it, as they may share a GPU; as there, whoever gives work to a stream that another thread is capturing, or waits
for it, is refused.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from support.step_on_host import compiled_step

from handfirst.engines.cuda.layout import LOOP
from handfirst.engines.errors import EngineError

Graph = list[tuple[str, Callable[[], None]]]
"""What it launches: by its name, which is empty for what is not counted."""


class FakeCuda:
    """See handfirst.engines.cuda.device.Cuda. `room` is what the GPU has, in bytes."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.blocks: dict[int, bytearray] = {}
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.allocations: list[int] = []
        self.events: dict[int, float | None] = {}
        self.graphs: dict[int, Graph] = {}
        self.counts: Counter[str] = Counter()
        self.captures_nothing = False  # as happens when another device is current
        self.now = 0.0
        self.most = 0  # bytes that were held at once
        self._next = 0x7000
        self._lock = threading.RLock()
        self._capturing: dict[int, tuple[int, Graph]] = {}  # by stream: the thread, its work

    def current(self) -> None: ...

    def allocate(self, size: int) -> int:
        with self._lock:
            held = sum(map(len, self.blocks.values()))
            if size > self.room - held:
                raise EngineError("CUDA: allocate failed: CUDA_ERROR_OUT_OF_MEMORY")
            block = bytearray(b"\xff" * max(size, 1))  # what was there before is not zero
            address = ctypes.addressof(ctypes.c_char.from_buffer(block))
            self.blocks[address] = block
            self.allocations.append(size)
            self.most = max(self.most, held + len(block))
            return address

    def free(self, address: int) -> None:
        with self._lock:
            assert not any(self.streams.values()), "freed while work was under way"
            del self.blocks[address]

    def stream(self) -> int:
        with self._lock:
            self._next += 256
            self.streams[self._next] = []
            return self._next

    def destroy(self, stream: int) -> None:
        with self._lock:
            assert not self.streams.pop(stream)

    def put(self, stream: int, work: Callable[[], None], name: str = "") -> None:
        """Gives the stream a piece of work, or the graph that this thread captures."""
        with self._lock:
            captured = self._of_this_thread(stream)
            if captured is not None:
                captured.append((name, work))
                return
            self.streams[stream].append(work)
            if name:
                self.counts[name] += 1

    def upload(self, address: int, array: np.ndarray[Any, Any], stream: int) -> None:
        assert array.flags.c_contiguous and array.nbytes <= len(self.blocks[address])
        data = array.tobytes()

        def copy() -> None:
            self.now += 1
            self.blocks[address][: len(data)] = data

        self.put(stream, copy, "upload")

    def download(self, array: np.ndarray[Any, Any], address: int, stream: int) -> None:
        assert array.flags.c_contiguous and array.nbytes <= len(self.blocks[address])

        def copy() -> None:
            self.now += 1
            array[...] = np.frombuffer(self.blocks[address], array.dtype, array.size).reshape(array.shape)

        self.put(stream, copy, "download")

    def wait(self, stream: int) -> None:
        with self._lock:
            assert self._of_this_thread(stream) is None, "waited for what is only captured"
            self.counts["wait"] += 1
            work, self.streams[stream] = self.streams[stream], []
            for piece in work:
                piece()

    def memory(self) -> tuple[int, int]:
        with self._lock:
            return self.room - sum(map(len, self.blocks.values())), self.room

    def event(self) -> int:
        with self._lock:
            self._next += 256
            self.events[self._next] = None
            return self._next

    def record(self, event: int, stream: int) -> None:
        def happen() -> None:
            if event in self.events:  # one that was given back meanwhile is nobody's
                self.events[event] = self.now

        with self._lock:
            self.events[event] = None
            self.put(stream, happen)

    def done(self, event: int) -> bool:
        """The device gets on by one piece of work each time that it is asked."""
        with self._lock:
            for stream in self.streams:
                self._of_this_thread(stream)
            queue = next((queue for queue in self.streams.values() if queue), [])
            if self.events[event] is None and queue:
                queue.pop(0)()
            return self.events[event] is not None

    def elapsed(self, start: int, end: int) -> float:
        before, after = self.events[start], self.events[end]
        assert before is not None and after is not None, "asked before the stream was done"
        return after - before

    def forget(self, event: int) -> None:
        with self._lock:
            del self.events[event]

    def step(self, loop: int, batch: int, values: int, stream: int) -> None:
        def run() -> None:
            struct = np.frombuffer(self.blocks[loop], LOOP, 1)
            assert (struct["batch"][0], struct["values"][0]) == (batch, values)
            compiled_step()(struct)

        self.put(stream, run, "step")

    def capture(self, work: Callable[[], None], stream: int) -> int:
        captured: Graph = []
        with self._lock:
            assert stream not in self._capturing
            self.counts["capture"] += 1
            self._capturing[stream] = threading.get_ident(), captured
        try:
            time.sleep(0.001)  # without the lock: other threads go on meanwhile, here as there
            work()
        finally:
            del self._capturing[stream]
        with self._lock:
            self._next += 256
            self.graphs[self._next] = [] if self.captures_nothing else captured
            return self._next

    def launch(self, graph: int, stream: int) -> None:
        with self._lock:
            self._of_this_thread(stream)
            self.counts["graph"] += 1
            for name, work in self.graphs[graph]:
                self.streams[stream].append(work)
                self.counts[name] += name in ("upload", "download")

    def drop(self, graph: int) -> None:
        with self._lock:
            del self.graphs[graph]

    def _of_this_thread(self, stream: int) -> Graph | None:
        """What this thread captures there; None: nobody captures."""
        thread, captured = self._capturing.get(stream, (None, None))
        if thread not in (None, threading.get_ident()):
            raise EngineError("CUDA: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
        return captured
