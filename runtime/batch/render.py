"""Rendering a backlog in this process: group after group, if asked to the first half of the next beside the second.

Knows nothing about ledgers or files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import lacks_memory
from handfirst.runtime.batch.backlog import Backlog
from handfirst.runtime.batch.outcome import Done, Outcome, Painted
from handfirst.runtime.batch.plan import Group
from handfirst.runtime.metadata import packet
from handfirst.runtime.pictures import ImageFormat, encode
from handfirst.runtime.system import Request, Result, System, TwoHalves

_Started = tuple[Group, Callable[[], Any]]


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
        overlap: the first half of the next group in a second thread, for systems of two halves. It ends for good when
            memory runs out.
        told: what the files say that they were made with (metadata.py); None: they say nothing.
    """

    def __init__(self, system: System, image_format: ImageFormat, overlap: bool, told: Bundle | None = None) -> None:
        self._begin: Callable[[list[Request]], Any]
        self._end: Callable[[Any], list[Result]]
        if halved := isinstance(system, TwoHalves):
            self._begin, self._end = system.first_half, system.second_half
        else:
            self._begin, self._end = list, system.render_batch
        self._format: ImageFormat = image_format
        self._told = told
        self._overlap = overlap and halved

    def render(self, backlog: Backlog) -> Iterator[list[Outcome]]:
        """Everything in the backlog, group by group."""
        with ThreadPoolExecutor(1, "first-half") as ahead:
            current = self._start(backlog, ahead)
            while current is not None:
                (group, first_half), following = current, None
                try:
                    begun = first_half()
                    if self._overlap:
                        following = self._start(backlog, ahead)
                    outcomes: list[Outcome] = self._finish(group, begun)
                except Exception as error:
                    outcomes = [*self._refused(backlog, group, error)]
                yield outcomes
                current = following or self._start(backlog, ahead)

    def _start(self, backlog: Backlog, ahead: ThreadPoolExecutor) -> _Started | None:
        """The next group, and how to get its first half."""
        group = backlog.take()
        if group is None:
            return None
        requests = [task.request for task in group]
        if self._overlap:
            return group, ahead.submit(self._begin, requests).result
        return group, lambda: self._begin(requests)

    def _finish(self, group: Group, begun: Any) -> list[Outcome]:
        painted = paintings(self._end(begun), self._format, self._told)
        return [Done(task.job, picture) for task, picture in zip(group, painted, strict=True)]

    def _refused(self, backlog: Backlog, group: Group, error: Exception) -> Sequence[Outcome]:
        if self._overlap and lacks_memory(error):
            self._overlap = False  # the other group's first half was in memory beside it
            if len(group) == 1:
                backlog.put_back(group)
                return []
        return backlog.failed(group, error)


def paintings(results: Sequence[Result], image_format: ImageFormat, told: Bundle | None) -> list[Painted]:
    """Results as files, which tell of the bundle `told` and of their requests, or of nothing."""
    files = [encode(result.image, image_format, packet(told, result) if told else None) for result in results]
    return [
        Painted(file, result.seed, result.seconds, len(results), result.warnings)
        for file, result in zip(files, results, strict=True)
    ]
