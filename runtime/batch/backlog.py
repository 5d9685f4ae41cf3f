"""Groups that still have to be rendered, and what becomes of those that failed: smaller, once more, or never again.

Knows nothing about who renders them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator

from handfirst.engines.errors import UserError, lacks_memory
from handfirst.runtime.batch.outcome import Failed
from handfirst.runtime.batch.plan import Group

MOST_LOSSES = 3
"""Workers that may die over a job before it is the job that is blamed."""


class Backlog:
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
            alone = "; the job was rendered alone" if lacks_memory(error) else ""
            return [Failed(group[0].job, describe(error) + alone)]
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
