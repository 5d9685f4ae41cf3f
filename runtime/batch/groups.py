"""Jobs -> groups that are rendered together, and what becomes of those that failed: smaller, once more, never again.

Jobs of a group have equal shapes, so that an engine sees few of them. They are looked for in windows, so that a long
list begins at once. Knows no engine, and nothing about who renders.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from handfirst.engines.errors import UserError, lacks_memory
from handfirst.runtime.batch.job import BadJob, Failed, Job
from handfirst.runtime.system import Request

WINDOW = 1024
"""Jobs among which those of equal shape are looked for; their poses are in memory at once."""

MOST_LOSSES = 3
"""Workers that may die over a job before it is the job that is blamed."""


@dataclass(frozen=True, eq=False)
class Task:
    """A job and what the model is asked for it."""

    job: Job
    request: Request


Group = tuple[Task, ...]
"""At least one; all of the same shape."""

Together = Callable[[Request], Hashable]
"""Requests for which it is equal are painted together; raises a UserError for one that does not fit the model."""


def group_jobs(
    jobs: Iterable[Job | BadJob], together: Together, most: int, window: int = WINDOW
) -> Iterator[Group | Failed]:
    """Every job once, in a group or as a failure, the failures of a window first.

    Args:
        together: of the system (SystemModule.together), for one model.
        most: jobs in a group.
        window: jobs that are looked at together.
    """
    rest = iter(jobs)
    while some := list(islice(rest, window)):
        shapes: dict[Hashable, list[Task]] = {}
        for job in some:
            ready = _ready(job, together)
            if isinstance(ready, Failed):
                yield ready
            else:
                shapes.setdefault(ready[0], []).append(ready[1])
        for tasks in shapes.values():
            yield from (tuple(tasks[i : i + most]) for i in range(0, len(tasks), most))


def _ready(job: Job | BadJob, together: Together) -> tuple[Hashable, Task] | Failed:
    if isinstance(job, BadJob):
        return Failed(job, job.reason)
    try:
        request = job.request()
        return together(request), Task(job, request)
    except UserError as error:
        return Failed(job, str(error))


class GroupQueue:
    """Hands out groups, those that came back first.

    Args:
        groups: what is to be done.
    """

    def __init__(self, groups: Iterator[Group]) -> None:
        self._groups = groups
        self._again: deque[Group] = deque()
        self._losses: Counter[str] = Counter()
        self._most: int | None = None

    def take(self) -> Group | None:
        """The next group; None if there is none now (one may still come back)."""
        group = self._again.popleft() if self._again else next(self._groups, None)
        if group is not None and self._most is not None and len(group) > self._most:
            self._again.appendleft(group[self._most :])
            group = group[: self._most]
        return group

    def put_back(self, group: Group) -> None:
        """It was not the group's fault."""
        self._again.appendleft(group)

    def failed(self, group: Group, error: BaseException) -> list[Failed]:
        """Rendering raised an error: both halves again, so that one job does not fail the others; one job has failed.

        Where memory ran out, later groups are made no larger than those halves.
        """
        if len(group) == 1:
            if lacks_memory(error):
                return [Failed(group[0].job, f"{describe(error)}; the job was rendered alone", again=True)]
            return [Failed(group[0].job, describe(error))]
        half = len(group) // 2
        if lacks_memory(error):
            self._most = min(half, self._most or half)
        self._again.extendleft((group[half:], group[:half]))
        return []

    def lost(self, group: Group, reason: str) -> list[Failed]:
        """Who rendered it died: the whole group again, then every job alone, and in the end the jobs have failed."""
        failures = []
        for task in reversed(group):
            self._losses[task.job.id] += 1
            if self._losses[task.job.id] >= MOST_LOSSES:
                failures.append(Failed(task.job, f"{MOST_LOSSES} workers died over it; the last: {reason}"))
            elif self._losses[task.job.id] > 1:
                self._again.appendleft((task,))
        if self._losses[group[0].job.id] == 1:
            self._again.appendleft(group)
        return failures


def describe(error: BaseException) -> str:
    """An error in one line; what is no user's error says its kind, as it may be a bug."""
    said = " ".join(str(error).split())[:500]
    if isinstance(error, MemoryError):
        return f"out of memory: {said}" if said else "out of memory"
    return said if isinstance(error, UserError) else f"{type(error).__name__}: {said}"
