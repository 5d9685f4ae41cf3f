"""Rendering a backlog in this process: group after group, if asked to with stage 1 of the next beside stage 2.

Knows nothing about ledgers or files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from handfirst.engines.errors import lacks_memory
from handfirst.runtime.batch.backlog import Backlog
from handfirst.runtime.batch.outcome import Done, Outcome, Painted
from handfirst.runtime.batch.plan import Group
from handfirst.runtime.drawn import Drawn
from handfirst.runtime.image_file import ImageFormat, encode
from handfirst.runtime.request import Request, Result

_Started = tuple[Group, Callable[[], Drawn]]


class TwoHalves(Protocol):
    """What rendering needs of a system."""

    def draw_hands(self, requests: Sequence[Request]) -> Drawn: ...

    def paint_bodies(self, drawn: Drawn) -> list[Result]: ...


class Renderer(Protocol):
    """Who renders."""

    def render(self, backlog: Backlog) -> Iterator[list[Outcome]]:
        """Everything in the backlog, as it gets finished."""
        ...


class Here:
    """A Renderer in this process.

    Args:
        system: what paints.
        image_format: of the files.
        overlap: stage 1 of the next group in a second thread. It ends for good when memory runs out.
    """

    def __init__(self, system: TwoHalves, image_format: ImageFormat, overlap: bool) -> None:
        self._system = system
        self._format: ImageFormat = image_format
        self._overlap = overlap

    def render(self, backlog: Backlog) -> Iterator[list[Outcome]]:
        """Everything in the backlog, group by group."""
        with ThreadPoolExecutor(1, "hands") as ahead:
            current = self._start(backlog, ahead)
            while current is not None:
                (group, drawn), following = current, None
                try:
                    hands = drawn()
                    if self._overlap:
                        following = self._start(backlog, ahead)
                    outcomes: list[Outcome] = self._finish(group, hands)
                except Exception as error:
                    outcomes = [*self._refused(backlog, group, error)]
                yield outcomes
                current = following or self._start(backlog, ahead)

    def _start(self, backlog: Backlog, ahead: ThreadPoolExecutor) -> _Started | None:
        """The next group, and how to get its hands."""
        group = backlog.take()
        if group is None:
            return None
        requests = [task.request for task in group]
        if self._overlap:
            return group, ahead.submit(self._system.draw_hands, requests).result
        return group, lambda: self._system.draw_hands(requests)

    def _finish(self, group: Group, hands: Drawn) -> list[Outcome]:
        painted = paintings(self._system.paint_bodies(hands), self._format)
        return [Done(task.job, picture) for task, picture in zip(group, painted, strict=True)]

    def _refused(self, backlog: Backlog, group: Group, error: Exception) -> Sequence[Outcome]:
        if self._overlap and lacks_memory(error):
            self._overlap = False  # the other group's stage 1 was in memory beside it
            if len(group) == 1:
                backlog.put_back(group)
                return []
        return backlog.failed(group, error)


def paintings(results: Sequence[Result], image_format: ImageFormat) -> list[Painted]:
    """Results as files."""
    return [
        Painted(encode(result.image, image_format), result.seed, result.seconds, len(results), result.warnings)
        for result in results
    ]
