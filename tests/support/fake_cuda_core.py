"""Stand-ins for cuda.core's objects: memory is the host's, and a stream does nothing until it is waited for."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import SimpleNamespace


class Pinned:
    """A pinned block."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.memory = (ctypes.c_uint8 * size)()
        self.handle = ctypes.addressof(self.memory)


class Done:
    """An event."""

    def __init__(self) -> None:
        self.is_done = False


class Part:
    """cuda.core's Buffer over somebody's memory: it copies between equal sizes alone."""

    def __init__(self, handle: int, size: int) -> None:
        self.handle, self.size = handle, size

    @classmethod
    def from_handle(cls, handle: int, size: int, owner: object = None) -> Part:
        return cls(handle, size)

    def copy_from(self, source: Part, stream: Queue) -> None:
        if source.size != self.size:
            raise ValueError(
                f"buffer sizes mismatch between src and dst (sizes are: src={source.size}, dst={self.size})"
            )
        stream.work.append(lambda: ctypes.memmove(self.handle, source.handle, self.size))

    def copy_to(self, target: Part, stream: Queue) -> None:
        target.copy_from(self, stream)

    def close(self) -> None: ...


class Queue:
    """A stream that does nothing until it is waited for, and cannot be while it is captured."""

    handle = 7
    capture = "none"
    synced = 0

    def __init__(self) -> None:
        self.work: list[Callable[[], object]] = []

    def record(self, event: object = None, options: object = None) -> Done:
        happens = Done()
        self.work.append(lambda: setattr(happens, "is_done", True))
        return happens

    def sync(self) -> None:
        if self.capture != "none":
            raise RuntimeError("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")
        self.synced += 1
        work, self.work = self.work, []
        for piece in work:
            piece()

    def create_graph_builder(self) -> Builder:
        return Builder(self)


class Builder:
    """cuda.core's GraphBuilder: one that was broken ends with `close`, or when nobody holds it, and not before."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def begin_building(self, mode: str) -> Builder:
        assert self.queue.capture == "none" and mode == "thread_local"
        self.queue.capture = "active"
        return self

    def end_building(self) -> Builder:
        if self.queue.capture != "active":
            raise RuntimeError("Build process encountered an error and has been invalidated.")
        self.queue.capture = "none"
        return self

    def complete(self) -> SimpleNamespace:
        return SimpleNamespace(handle=99, launch=lambda stream: None, close=lambda: None)

    def close(self) -> None:
        broken, self.queue.capture = self.queue.capture != "none", "none"
        if broken:
            raise RuntimeError("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")


class Event:
    """Each half a second after the one before it, in milliseconds."""

    made = 0
    is_done = True

    def __init__(self) -> None:
        Event.made += 1
        self.handle = Event.made

    def __sub__(self, other: Event) -> float:
        return 500.0 * (self.handle - other.handle)


class Gpu:
    """cuda.core's Device: its memory is the host's."""

    compute_capability = (9, 0)

    def __init__(self, index: int) -> None:
        self.blocks: list[Pinned] = []
        self.default_stream = Queue()

    def set_current(self) -> None: ...

    def allocate(self, size: int, *, stream: object) -> Part:
        assert stream is self.default_stream
        self.blocks.append(Pinned(size))
        return Part(self.blocks[-1].handle, size)

    def create_stream(self, options: object) -> Queue:
        return Queue()

    def create_event(self, options: dict[str, bool]) -> Event:
        assert options["timing_enabled"]
        return Event()
