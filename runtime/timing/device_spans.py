"""Spans of what is queued on a GPU's stream: made while nobody waits, told once the stream is done.

Each has the host's time of queuing and, by events before and behind it, the device's time of computing. Has not run on
a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter_ns
from typing import NamedTuple

from handfirst.engines.cuda.lane import Lane
from handfirst.engines.errors import EngineError
from handfirst.runtime.timing.spans import Kind, record


class _Made(NamedTuple):
    name: str
    start: int
    end: int
    before: int
    after: int
    size: int
    shapes: tuple[tuple[int, ...], ...]


class DeviceSpans:
    """Those of one loop on a lane."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._made: list[_Made] = []
        self._events: list[int] = []

    @contextmanager
    def of(self, name: str, size: int = 0, shapes: tuple[tuple[int, ...], ...] = ()) -> Iterator[None]:
        """What the block queues; an engine's with the bytes of its tensors and the shapes of its inputs."""
        cuda, stream = self._lane.cuda, self._lane.stream
        before, after = self._event(), self._event()
        start = perf_counter_ns()
        cuda.record(before, stream)
        yield
        cuda.record(after, stream)
        self._made.append(_Made(name, start, perf_counter_ns(), before, after, size, shapes))

    def _event(self) -> int:
        self._events.append(self._lane.cuda.event())
        return self._events[-1]

    def tell(self) -> None:
        """Tells all that listen; the stream has been waited for."""
        for made in self._made:
            device = round(self._lane.cuda.elapsed(made.before, made.after) * 1e9)
            kind: Kind = "engine" if made.shapes else "host"
            record(made.name, kind, made.start, made.end, made.size, made.shapes, device)

    def close(self) -> None:
        """Gives the events back."""
        for event in self._events:
            with suppress(EngineError):  # a lost GPU has nothing left to give back
                self._lane.cuda.forget(event)
