"""A batch from its jobs to its ledger: what is done already is left out, the rest rendered and entered as it comes.

Knows nothing about how jobs are read or rendered.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from handfirst.runtime.batch.backlog import Backlog
from handfirst.runtime.batch.job import BadJob, Job
from handfirst.runtime.batch.ledger import DONE, FAILED, Ledger
from handfirst.runtime.batch.outcome import Failed, Outcome
from handfirst.runtime.batch.plan import Group
from handfirst.runtime.batch.render import Renderer
from handfirst.runtime.errors import BatchError


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
        planned: the same as groups (plan.py).
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
    finished = renderer.render(Backlog(chain([first], rest))) if first and renderer else ()
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
