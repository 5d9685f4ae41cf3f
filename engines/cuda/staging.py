"""Pinned memory of the host, which copies to and from a GPU go through, so that nobody waits for them.

Has not run on a GPU; the bookkeeping was tried with a stand-in for cuda.core.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.engine import Array


class Staging:
    """Pinned blocks of the host that copies go through; one is used again once the GPU is done with it."""

    def __init__(self, core: Any) -> None:
        self._resource = core.LegacyPinnedMemoryResource()
        self._options = core.EventOptions(timing_enabled=False)
        self._lock = threading.Lock()
        self._busy: list[tuple[Any, Any]] = []  # event, block
        self._free: list[Any] = []
        self._coming: dict[int, list[tuple[Any, NDArray[np.uint8], Array]]] = {}

    @contextmanager
    def block(self, size: int, queue: Any) -> Iterator[tuple[Any, NDArray[np.uint8]]]:
        """A block of `size` bytes and its memory; what is queued within the block may still read it afterwards."""
        buffer, memory = self.take(size)
        yield buffer, memory
        with self._lock:
            self._busy.append((queue.record(options=self._options), buffer))

    def take(self, size: int) -> tuple[Any, NDArray[np.uint8]]:
        """The smallest block that is free and large enough, or a new one."""
        with self._lock:
            done = [pair for pair in self._busy if pair[0].is_done]
            self._busy = [pair for pair in self._busy if pair not in done]
            self._free += [buffer for _, buffer in done]
            fits = [buffer for buffer in self._free if size <= buffer.size <= 2 * size + 4096]
            if fits:
                buffer = min(fits, key=lambda b: b.size)
                self._free.remove(buffer)
            else:
                self._free.clear()  # sizes of a job repeat; those of the last job need not stay
                buffer = self._resource.allocate(max(size, 1))
        memory = (ctypes.c_uint8 * max(size, 1)).from_address(int(buffer.handle))
        return buffer, np.ctypeslib.as_array(memory)[:size]

    def arrives(self, stream: int, buffer: Any, memory: NDArray[np.uint8], array: Array) -> None:
        """`array` gets the bytes when the stream is done."""
        with self._lock:
            self._coming.setdefault(stream, []).append((buffer, memory, array))

    def arrived(self, stream: int) -> None:
        """The stream is done."""
        with self._lock:
            coming = self._coming.pop(stream, [])
            for buffer, memory, array in coming:
                array.reshape(-1).view(np.uint8)[:] = memory
                self._free.append(buffer)
