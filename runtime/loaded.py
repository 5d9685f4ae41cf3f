"""What loaded models have in common: engines, where they came from, requests that are worked on together.

A system's story is a generator: it yields Progress and returns results. Knows no system.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from handfirst.engines.bundle import Bundle
from handfirst.engines.choice import Choice
from handfirst.engines.engine import Engine
from handfirst.runtime.timing.spans import recorded

T = TypeVar("T")
R = TypeVar("R")
GIVEN = Choice("given", "the engines were opened by the caller")


class Loaded:
    """Engines by role, and the bundle that they came from, if they came from one.

    Args:
        engines: see the system's roles.
        bundle: where they came from.
        engine: what runs them, and why.
    """

    def __init__(self, engines: Mapping[str, Engine], bundle: Bundle | None, engine: Choice) -> None:
        self.engine = engine
        self._engines: Mapping[str, Engine] = {role: recorded(opened) for role, opened in engines.items()}
        self._bundle = bundle

    @property
    def bundle(self) -> Bundle:
        """Where this model came from; a ValueError for one that was put together by hand."""
        if self._bundle is None:
            raise ValueError("this model was not opened from a bundle")
        return self._bundle

    def close(self) -> None:
        """Frees the engines."""
        for engine in self._engines.values():
            engine.close()


def in_groups(asked: Sequence[T], loop: Callable[[T], Hashable], together: Callable[[list[T]], Sequence[R]]) -> list[R]:
    """A result for each of those that are asked, in their order; those of equal loops are worked on together."""
    groups: dict[Hashable, list[int]] = {}
    for i, each in enumerate(asked):
        groups.setdefault(loop(each), []).append(i)
    results: dict[int, R] = {}
    for indices in groups.values():
        results.update(zip(indices, together([asked[i] for i in indices]), strict=True))
    return [results[i] for i in range(len(asked))]


def finished(story: Generator[Any, None, R]) -> R:
    """What a story comes to, for whoever does not want to watch."""
    while True:
        try:
            next(story)
        except StopIteration as end:
            result: R = end.value
            return result


def given(value: T | None) -> T:
    """A field of a resolved request."""
    if value is None:
        raise ValueError("the request is not resolved")
    return value
