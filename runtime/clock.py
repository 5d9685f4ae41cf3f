"""Wall time by stage, told to whoever records. Time that a caller spends between two steps is not counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import TypeVar

from handfirst.runtime.recorder import record

T = TypeVar("T")


class Clock:
    """Seconds by name; a stage that is left out counts 0."""

    def __init__(self, *names: str) -> None:
        self._nanoseconds = dict.fromkeys(names, 0)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Adds the time of the block to `name`."""
        start = perf_counter_ns()
        try:
            yield
        finally:
            end = perf_counter_ns()
            self._nanoseconds[name] += end - start
            record(name, "stage", start, end)

    def steps(self, name: str, iterator: Iterator[T]) -> Iterator[T]:
        """The same items; only making them counts."""
        while True:
            with self(name):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    @property
    def seconds(self) -> dict[str, float]:
        """By name in the order given, then their sum as "total"."""
        seconds = {name: spent / 1e9 for name, spent in self._nanoseconds.items()}
        return {**seconds, "total": sum(seconds.values())}
