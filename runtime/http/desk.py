"""Where jobs are taken, wait, and are remembered for a while: bounded in number, in time and in bytes.

Everything happens in the thread of the event loop. Knows nothing about processes or HTTP; who paints asks for the next
job and says what became of it.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from time import monotonic

from handfirst.runtime.http.asking import Asked
from handfirst.runtime.http.job import RANDOM, Job, Outcome, State
from handfirst.runtime.http.limits import Limits
from handfirst.runtime.http.refused import RefusedError

ENDED = 10_000
"""Jobs that are known after their end, however little they take."""
GONE = 10_000
"""Ids of jobs that are kept no longer, and are still known to have been here."""
EVERY_S = 0.25
"""Between two looks at deadlines and ages."""
BORN = 4
"""Characters of an id that tell one run of the server from another."""
LENGTH = BORN + RANDOM


class Desk:
    """All jobs of a server.

    Args:
        limits: how many, how long, how large.
        places: pictures that are painted at a time, for estimates.

    Attributes:
        ending: whether nothing more is taken.
        on_work: called when a job waits that may be begun.
        on_let_go: called with a job under way that nobody wants any more.
        on_end: called with every job that has ended.
    """

    def __init__(self, limits: Limits, places: int) -> None:
        self.limits = limits
        self.ending = False
        self.on_work: Callable[[], None] = lambda: None
        self.on_let_go: Callable[[Job], None] = lambda job: None
        self.on_end: Callable[[Job], None] = lambda job: None
        self._born = secrets.token_urlsafe(8)[:BORN]
        self._places = places
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._under_way: set[Job] = set()
        self._ended: OrderedDict[str, Job] = OrderedDict()
        self._keys: dict[tuple[str, str], tuple[str, list[Job]]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._bytes = 0
        self._usual = 1.0

    @property
    def waiting(self) -> int:
        """Jobs that nobody has begun."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Jobs that somebody has."""
        return len(self._under_way)

    @property
    def kept(self) -> int:
        """Bytes of all results."""
        return self._bytes

    def accept(
        self, bundle: str, number: int, asked: Sequence[Asked], client: str, seconds: float | None = None
    ) -> list[Job]:
        """All of these, or none.

        Raises:
            RefusedError: the server is about to end, or full; or the client has enough.
        """
        if self.ending:
            raise RefusedError(503, "ending", "the server is about to end; ask another, or this one later", retry=10)
        if len(self._waiting) + len(asked) > self.limits.waiting + max(0, self._places - self.running):
            raise RefusedError(
                429, "busy", f"{len(self._waiting)} jobs wait, as many as this server keeps", retry=self._patience()
            )
        has = sum(job.client == client for job in (*self._waiting, *self._under_way))
        if has + len(asked) > self.limits.per_client:
            raise RefusedError(
                429, "busy", f"{has} jobs of this client go on, as many as one may have", retry=self._patience()
            )
        deadline = monotonic() + (self.limits.seconds if seconds is None else seconds)
        made = [Job(bundle, number, client, each, deadline, self._born) for each in asked]
        for job in made:
            self._jobs[job.id] = job
            self._waiting.append(job)
        self._count()
        self.on_work()
        return made

    def again(self, key: tuple[str, str], digest: str) -> list[Job] | None:
        """The jobs that this key has made; None: none, or they are forgotten.

        Raises:
            RefusedError: it came with another body.
        """
        found = self._keys.get(key)
        if found is not None and found[0] != digest:
            raise RefusedError(422, "invalid", "Idempotency-Key: it came with another body before; choose a new one")
        return None if found is None else found[1]

    def remember(self, key: tuple[str, str], digest: str, jobs: list[Job]) -> None:
        """That this key has made these, for as long as the first of them is known."""
        self._keys[key] = digest, jobs
        jobs[0].key = key

    def find(self, id: str, client: str) -> Job:
        """A client's job.

        Raises:
            RefusedError: there is none, or no longer.
        """
        job = self._jobs.get(id)
        if job is not None and job.client == client:
            return job
        if id in self._gone:
            raise RefusedError(410, "gone", "this job has ended, and what came of it is kept no longer; ask again")
        if len(id) == LENGTH and not id.startswith(self._born):
            raise RefusedError(410, "gone", "no job of this run of the server; earlier ones are lost: ask again")
        raise RefusedError(404, "not-found", "no such job")

    def next(self) -> Job | None:
        """The job that is to be painted next; it is somebody's from now on."""
        if not self._waiting:
            return None
        job = self._waiting.popleft()
        self._under_way.add(job)
        self._count()
        return job

    def give_back(self, jobs: Sequence[Job]) -> None:
        """Whoever had them is gone; they are the next ones, in this order."""
        for job in reversed(jobs):
            self._under_way.discard(job)
            if job.going:
                self._waiting.appendleft(job)
                job.wait_again()
        self._count()
        self.on_work()

    def cancel(self, job: Job) -> None:
        """Nobody wants it any more; one that has ended stays as it is."""
        self.end(job, "cancelled", error={"code": "cancelled", "message": "the job was cancelled by its caller"})

    def end(self, job: Job, state: State, outcome: Outcome | None = None, error: dict[str, str] | None = None) -> None:
        """What became of it; only the first end counts."""
        if not job.going:
            return
        waited, had = job in self._waiting, job in self._under_way
        job.end(state, outcome, error)
        if waited:
            self._waiting.remove(job)
            self._count()
        self._under_way.discard(job)
        if had and state != "succeeded":
            self.on_let_go(job)
        if state == "succeeded":
            self._usual += 0.2 * (job.seconds["running"] - self._usual)
        self._ended[job.id] = job
        self._bytes += 0 if outcome is None else outcome.bytes
        self.on_end(job)
        self._forget()

    async def look_after(self) -> None:
        """Deadlines and ages, for as long as the server lives."""
        while True:
            self.look()
            await asyncio.sleep(EVERY_S)

    def look(self) -> None:
        """Ends what is late, and forgets what is old."""
        now = monotonic()
        for job in [job for job in (*self._waiting, *self._under_way) if now >= job.deadline]:
            message = f"the job was still {job.state} when its time was over"
            self.end(job, "timed-out", error={"code": "timeout", "message": message})
        self._forget()

    async def drain(self, seconds: float, linger: float) -> None:
        """Takes nothing more; waits until all have ended, and until what ended meanwhile was fetched.

        Args:
            seconds: for all of it; what still goes on then is ended.
            linger: after the last end, for callers who have not fetched their picture yet.
        """
        self.ending, began = True, monotonic()
        while (self._waiting or self._under_way) and monotonic() < began + seconds:
            await asyncio.sleep(0.02)
        self.end_all("ending", "the server ended before the job did; ask again")
        until = min(monotonic() + linger, began + seconds + linger)
        while monotonic() < until and any(self._wanted(job, began) for job in self._ended.values()):
            await asyncio.sleep(0.02)

    def end_all(self, code: str, message: str) -> None:
        """Ends whatever goes on."""
        for job in [*self._waiting, *self._under_way]:
            self.end(job, "failed", error={"code": code, "message": message})

    def _wanted(self, job: Job, since: float) -> bool:
        return job.state == "succeeded" and not job.fetched and job.ended is not None and job.ended >= since

    def _count(self) -> None:
        for position, job in enumerate(self._waiting):
            job.move(position)

    def _patience(self) -> int:
        """Seconds until a place is likely to be free."""
        return max(1, min(600, math.ceil(self._usual * (1 + len(self._waiting) / self._places) / 2)))

    def _forget(self) -> None:
        """The oldest ends, where they are too old or too much."""
        oldest = monotonic() - self.limits.keep_seconds
        while self._ended:
            job = next(iter(self._ended.values()))
            much = self._bytes > self.limits.keep_bytes and len(self._ended) > 1  # the newest is kept, however large
            if not much and len(self._ended) <= ENDED and job.ended is not None and job.ended > oldest:
                return
            del self._ended[job.id], self._jobs[job.id]
            self._bytes -= 0 if job.outcome is None else job.outcome.bytes
            if job.key is not None:
                self._keys.pop(job.key, None)
            self._gone[job.id] = None
            if len(self._gone) > GONE:
                self._gone.popitem(last=False)
