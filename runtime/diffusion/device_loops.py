"""Loops on a device that wait for the next job of their shape, with their memory and their graphs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from handfirst.engines.cuda.lane import Lane
from handfirst.runtime.diffusion.device import DeviceLoop
from handfirst.runtime.diffusion.loop_shape import LoopShape

KEPT = 4
"""Loops of a stage whose memory and graphs stay for the next job of the same shape; a full-size one holds about 0.1 GB.
More may live while more threads paint; what is given back beyond these is freed at once, the oldest first."""


B = TypeVar("B")


class Loops(Generic[B]):
    """Loops of a stage: memory and graphs stay for the next job of the same shape. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: OrderedDict[tuple[Hashable, int], tuple[DeviceLoop, B]] = OrderedDict()
        self._count = 0
        self._closed = False

    @contextmanager
    def taken(
        self, lane: Lane, shape: LoopShape, key: Hashable, bind: Callable[[DeviceLoop], B]
    ) -> Iterator[tuple[DeviceLoop, B]]:
        """A loop that nobody else uses meanwhile, and what `bind` made for it when it was new.

        Args:
            key: what else must be equal for a loop to be used again.
        """
        with self._lock:
            found = next((k for k in self._free if k[0] == (lane, shape, key)), None)
            held = self._free.pop(found) if found else None
        loop = DeviceLoop(lane, shape) if held is None else held[0]
        try:
            bound = bind(loop) if held is None else held[1]
            yield loop, bound
        except GeneratorExit:  # a caller who stopped: what is queued still runs, before anything that comes later
            self._give_back((lane, shape, key), loop, bound)
            raise
        except BaseException:
            loop.close()  # what failed may have left anything in it
            raise
        self._give_back((lane, shape, key), loop, bound)

    def _give_back(self, key: Hashable, loop: DeviceLoop, bound: B) -> None:
        with self._lock:
            self._count += 1
            self._free[key, self._count] = (loop, bound)
            most = 0 if self._closed else KEPT
            old = [self._free.popitem(last=False)[1][0] for _ in range(len(self._free) - most)]
        for each in old:
            each.close()

    def close(self) -> None:
        """Frees the memory of all that are not in use; those in use follow when they are given back."""
        with self._lock:
            self._closed = True
            loops, self._free = [loop for loop, _ in self._free.values()], OrderedDict()
        for loop in loops:
            loop.close()
