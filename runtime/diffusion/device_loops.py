"""Loops on a device that wait for the next job of their shape: memory, graphs, and engines bound to them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, TypeVar

from handfirst.engines.cuda.lane import Lane
from handfirst.engines.engine import Placed
from handfirst.runtime.diffusion.device import DeviceLoop
from handfirst.runtime.diffusion.launch import Launch
from handfirst.runtime.diffusion.loop_shape import LoopShape
from handfirst.runtime.diffusion.sampler import Guided

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


Launches = tuple[list[Launch], list[Launch]]
"""The engines of a step in their order: of one that asks for every answer, and of one that asks with the prompt alone,
where a loop has such."""

Rows = Callable[[Placed], Placed]
"""Of a tensor of all rows, those that a step works on."""


def bound(
    launches: Callable[[DeviceLoop, Mapping[str, Placed], Rows], list[Launch]], guided: Guided, loop: DeviceLoop
) -> Launches:
    """Binds the engines of a loop.

    Args:
        launches: binds those of a step, over the inputs that every UNet takes and its rows of other tensors. Memory of
            one name (`DeviceLoop.room`) serves both kinds of steps: the larger is asked for first.
    """
    whole = {"sample": loop.sample, "timestep": loop.timestep}
    context = loop.room("context", guided.context.shape, "float32")
    both = launches(loop, {**whole, "context": context}, lambda placed: placed)
    if not loop.shape.alone:
        return both, []
    context = loop.room("context_alone", guided.alone.context.shape, "float32")
    alone = {name: loop.alone(placed) for name, placed in whole.items()}
    return both, launches(loop, {**alone, "context": context}, loop.alone)


def place_contexts(loop: DeviceLoop, guided: Guided) -> None:
    """Where `bound` expects them."""
    loop.place("context", guided.context)
    if loop.shape.alone:
        loop.place("context_alone", guided.alone.context)
