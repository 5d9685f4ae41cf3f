"""The memory that TensorRT engines compute in: one arena, as large as the hungriest of them needs, shared by all.

Engines that share an arena also share its stream and its lock, so no two of them compute at the same time. It grows
and never shrinks while an engine lives; the last one to leave gives everything back. Has not run on a GPU.
"""

from __future__ import annotations

import functools
from contextlib import suppress

from handfirst.engines.cuda.lane import TURNS, Cuda, Lane, process_lane
from handfirst.engines.errors import EngineError


class Arena:
    """Device memory, a stream and a lock.

    Attributes:
        lock: held by whoever uses anything of the arena.
        address: of the memory; 0 while there is none.
        size: in bytes.
        cuda: what it is allocated with.
    """

    def __init__(self, cuda: Cuda) -> None:
        self.lock = TURNS
        self.address = 0
        self.size = 0
        self.cuda = cuda
        self._stream: int | None = None
        self._members = 0
        self._lane: Lane | None = None

    def join(self) -> None:
        """One more engine uses it; each calls `leave` once.

        Raises:
            EngineError: no stream could be made.
        """
        with self.lock:
            if self._stream is None:
                self._stream = self.cuda.stream()
            self._members += 1

    def leave(self) -> None:
        """One engine fewer; the last one frees everything."""
        with self.lock:
            self._members -= 1
            if self._members == 0 and self._stream is not None:
                with suppress(EngineError):  # a lost GPU has nothing left to give back
                    self._free()
                    self.cuda.destroy(self._stream)
                self._stream = None

    @property
    def stream(self) -> int:
        """What all members compute on.

        Raises:
            EngineError: nobody has joined.
        """
        if self._stream is None:
            raise EngineError("TensorRT: the arena has no members; the engine is closed")
        return self._stream

    @property
    def lane(self) -> Lane:
        """The GPU and the stream; equal lanes are one object.

        Raises:
            EngineError: nobody has joined.
        """
        if self._lane is None or self._lane.stream != self.stream:
            self._lane = Lane(self.cuda, self.stream, self.lock)
        return self._lane

    def reserve(self, size: int) -> None:
        """Sees to it that at least `size` bytes are there; growing moves the address and loses the contents.

        Raises:
            EngineError: the GPU has no room; the arena is then empty.
        """
        with self.lock:
            if size > self.size:
                if self._stream is not None:
                    self.cuda.wait(self._stream)
                self._free()  # first: old and new together may not fit
                self.address, self.size = self.cuda.allocate(size), size

    def _free(self) -> None:
        address, self.address, self.size = self.address, 0, 0
        if address:
            self.cuda.free(address)


@functools.cache
def process_arena(gpu: int = 0) -> Arena:
    """The one that all engines of this process share on a GPU.

    Raises:
        EngineError: cuda-core is not installed, or no driver answers.
    """
    return Arena(process_lane(gpu).cuda)
