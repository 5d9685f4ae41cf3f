"""A batch from its jobs to its ledger: what is done already is left out, the rest rendered and entered as it comes.

Rendering is a Renderer's: `Here` is this process, on_ray.py a cluster. Knows nothing about how jobs are read.
"""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any, Protocol

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import lacks_memory
from handfirst.runtime.batch.groups import Group, GroupQueue
from handfirst.runtime.batch.job import BadJob, Done, Failed, Job, Outcome, Painted
from handfirst.runtime.batch.ledger import DONE, FAILED, Ledger
from handfirst.runtime.errors import BatchError
from handfirst.runtime.metadata import packet
from handfirst.runtime.pictures import ImageFormat, encode_of
from handfirst.runtime.system import Request, Result, System, TwoHalves

_M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""

_Started = tuple[Group, Callable[[], Any]]


class Renderer(Protocol):
    """Who renders."""

    def render(self, queue: GroupQueue) -> Iterator[list[Outcome]]:
        """Everything in the queue, as it gets finished."""
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

    def render(self, queue: GroupQueue) -> Iterator[list[Outcome]]:
        """Everything in the queue, group by group."""
        with ThreadPoolExecutor(1, "first-half") as ahead:
            current = self._start(queue, ahead)
            while current is not None:
                outcomes, following = self._paint(current, queue, ahead)
                current = None  # its first half may be large
                yield outcomes
                current = following or self._start(queue, ahead)

    def _paint(
        self, started: _Started, queue: GroupQueue, ahead: ThreadPoolExecutor
    ) -> tuple[list[Outcome], _Started | None]:
        """A group, and the one that was started beside it."""
        (group, first_half), following = started, None
        try:
            begun = first_half()
            if self._overlap:
                following = self._start(queue, ahead)
            return self._finish(group, begun), following
        except Exception as error:
            return [*self._refused(queue, group, error)], following

    def _start(self, queue: GroupQueue, ahead: ThreadPoolExecutor) -> _Started | None:
        """The next group, and how to get its first half."""
        group = queue.take()
        if group is None:
            return None
        requests = [task.request for task in group]
        if self._overlap:
            return group, ahead.submit(self._begin, requests).result
        return group, lambda: self._begin(requests)

    def _finish(self, group: Group, begun: Any) -> list[Outcome]:
        painted = paintings(self._end(begun), self._format, self._told)
        return [Done(task.job, picture) for task, picture in zip(group, painted, strict=True)]

    def _refused(self, queue: GroupQueue, group: Group, error: Exception) -> Sequence[Outcome]:
        if lacks_memory(error):
            _give_memory_back()
        if self._overlap and lacks_memory(error):
            self._overlap = False  # the other group's first half was in memory beside it
            if len(group) == 1:
                queue.put_back(group)
                return []
        return queue.failed(group, error)


def spare_memory() -> None:
    """To be called before a model is opened: where address space is limited (`ulimit -v`), freed memory goes back."""
    try:
        import resource
    except ImportError:  # Windows
        return
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        _give_memory_back()


def _give_memory_back() -> None:
    """What glibc has kept of freed memory goes back to the system, and from now on large blocks go back when freed.

    Left to itself it learns from every large block to keep larger ones, until a single picture no longer fits where
    a dozen had been tried. It costs 2 to 4 % of the time. Elsewhere there is nothing to do.
    """
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 17)
        libc.malloc_trim(0)


def paintings(results: Sequence[Result], image_format: ImageFormat, told: Bundle | None) -> list[Painted]:
    """Results as files, which tell of the bundle `told` and of their requests, or of nothing."""
    files = [
        encode_of(result, result.image, image_format, packet(told, result) if told else None) for result in results
    ]
    return [
        Painted(file, result.seed, result.seconds, len(results), result.warnings)
        for file, result in zip(files, results, strict=True)
    ]


def pending(jobs: Sequence[Job | BadJob], ledger: Ledger, retry_failed: bool = False) -> list[Job | BadJob]:
    """The jobs that are not over."""
    over = (DONE,) if retry_failed else (DONE, FAILED)
    return [job for job in jobs if ledger.status(job) not in over]


def run(
    jobs: Sequence[Job | BadJob],
    planned: Iterable[Group | Failed],
    ledger: Ledger,
    open_renderer: Callable[[], Renderer],
    suffix: str,
) -> Iterator[list[Outcome]]:
    """Renders what is planned; yields what is over, once it is on the disk. Closing the iterator stops the work.

    Args:
        jobs: those that are pending.
        planned: the same as groups (groups.py).
        open_renderer: called once, and only if there is something to render.
        suffix: of the pictures, without its dot.

    Raises:
        BatchError: the disk is full or cannot be written to; everything until then is kept, and the same call goes on.
    """
    refused: list[Outcome] = []

    def groups() -> Iterator[Group]:
        for item in planned:
            if isinstance(item, Failed):
                refused.append(item)
            else:
                yield item

    rest = groups()
    first = next(rest, None)
    renderer = None if first is None else open_renderer()
    with _writing(ledger):
        ledger.begin(jobs)
    finished = renderer.render(GroupQueue(chain([first], rest))) if first and renderer else ()
    for outcomes in chain(finished, [[]]):
        over = [*refused, *outcomes]
        refused.clear()
        with _writing(ledger):
            ledger.add(over, suffix)
        yield over


@contextmanager
def _writing(ledger: Ledger) -> Iterator[None]:
    """A disk that cannot be written to stops the batch, and says how it goes on."""
    try:
        yield
    except OSError as error:
        folder = ledger.path.parent
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        trouble = (
            f"the disk of '{folder}' is full; free some space" if full else f"'{folder}': {error.strerror}; mend it"
        )
        raise BatchError(f"{trouble}, then run the same command again: it goes on where it stopped") from error
