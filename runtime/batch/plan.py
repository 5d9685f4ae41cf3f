"""Jobs -> groups that are rendered together: of equal shape, so that an engine sees few shapes, and at most so many.

Works in windows, so that a long list begins at once. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from handfirst.engines.errors import UserError
from handfirst.runtime.batch.job import BadJob, Job
from handfirst.runtime.batch.outcome import Failed
from handfirst.runtime.system import Request

WINDOW = 1024
"""Jobs among which those of equal shape are looked for; their poses are in memory at once."""


@dataclass(frozen=True, eq=False)
class Task:
    """A job and what the model is asked for it."""

    job: Job
    request: Request


Group = tuple[Task, ...]
"""At least one; all of the same shape."""

Together = Callable[[Request], Hashable]
"""Requests for which it is equal are painted together; raises a UserError for one that does not fit the model."""


def plan(jobs: Iterable[Job | BadJob], together: Together, most: int, window: int = WINDOW) -> Iterator[Group | Failed]:
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
