"""The processes that paint, as the one that answers HTTP sees them: started, given jobs, missed when they die.

All are started afresh (spawn); one that ends is replaced, and its jobs are begun once more, or said to be lost. Threads
read and write the pipes; everything else happens in the event loop's. Knows nothing about HTTP.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from queue import SimpleQueue
from typing import Any

from handfirst.engines.child import ending
from handfirst.runtime.batch.on_ray import Opening
from handfirst.runtime.http.desk import Desk
from handfirst.runtime.http.job import Job
from handfirst.runtime.http.worker import Message, work

MOST_ATTEMPTS = 2
"""Processes that a job may cost."""
MOST_OPENINGS = 3
"""Deaths in a row before any process has opened the models."""
LONGEST_PAUSE_S = 30.0
"""Before a process is replaced whose predecessors died young."""
ANSWER_S = 60.0
"""For a preview, a pose, or metrics."""
END_S = 5.0
"""For a process to end that was told to; then it is killed."""

_log = logging.getLogger(__name__)


class _Worker:
    """One process, and what it is at."""

    def __init__(self, number: int, crew: Crew) -> None:
        context = get_context("spawn")
        self.number = number
        self.ready = False
        self.jobs: dict[str, Job] = {}
        self.busy: set[str] = set()
        self.pending: dict[int, asyncio.Future[Any]] = {}
        self.outbox: SimpleQueue[Message | None] = SimpleQueue()
        self._connection, theirs = context.Pipe()
        arguments = (theirs, crew.openings, crew.places, crew.desk.limits)
        self.process = context.Process(target=work, args=arguments, name=f"handfirst-{number}", daemon=True)
        self.process.start()
        theirs.close()
        for target in (self._read, self._write):
            threading.Thread(target=target, args=(crew, asyncio.get_running_loop()), daemon=True).start()

    def _read(self, crew: Crew, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            try:
                while True:
                    loop.call_soon_threadsafe(crew.heard, self, self._connection.recv())
            except (EOFError, OSError):
                self.outbox.put(None)
                self.process.join(END_S)
                self.process.kill()
                self.process.join()
                loop.call_soon_threadsafe(crew.missed, self)

    def _write(self, crew: Crew, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(OSError):  # it is gone; the thread that reads finds out
            while (message := self.outbox.get()) is not None:
                self._connection.send(message)


class Crew:
    """Paints what waits at a desk.

    Args:
        desk: where jobs come from, and go.
        openings: the models.
        workers: processes.
        places: pictures that each paints at a time.

    Attributes:
        facts: what was learnt of each model when it was opened; None until then.
        unfit: set to the reason where no process can open the models from the first.
        deaths: processes that ended without being told to.
    """

    def __init__(self, desk: Desk, openings: Sequence[Opening], workers: int, places: int) -> None:
        self.desk, self.openings, self.places = desk, tuple(openings), places
        self.facts: list[dict[str, Any]] | None = None
        self.unfit: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.deaths = 0
        self._ending = False
        self._early = 0
        self._tokens = itertools.count()
        self._workers = [_Worker(number, self) for number in range(workers)]
        desk.on_work, desk.on_let_go = self._give_out, self._let_go

    @property
    def ready(self) -> int:
        """Processes that can paint."""
        return sum(worker.ready for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """Of all processes."""
        return [worker.process.pid or 0 for worker in self._workers]

    async def preview(self, job: Job, known: str | None = None) -> bytes | None:
        """The picture as it stands, or what else is known by that name, PNG; None where there is none (any more)."""
        for worker in self._workers:
            if job.id in worker.jobs:
                answer: bytes | None = await self._ask(worker, "preview", job.id, known)
                return answer
        return None

    async def pose(self, content: object, more: dict[str, Any]) -> dict[str, Any] | None:
        """What a process reads out of a file; None where none can."""
        worker = min((each for each in self._workers if each.ready), key=lambda each: len(each.busy), default=None)
        found: dict[str, Any] | None = None if worker is None else await self._ask(worker, "pose", content, more)
        return found

    async def samples(self) -> list[tuple[int, list[Any]]]:
        """Metrics of every process that answers, by its number."""
        workers = [worker for worker in self._workers if worker.ready]
        answers = await asyncio.gather(*(self._ask(worker, "metrics") for worker in workers))
        return [(worker.number, each) for worker, each in zip(workers, answers, strict=True) if each is not None]

    async def end(self) -> None:
        """Tells all to end, and waits; one that does not is killed."""
        self._ending = True
        for worker in self._workers:
            worker.outbox.put(("end",))
        await asyncio.gather(*(asyncio.to_thread(worker.process.join, END_S) for worker in self._workers))
        for worker in self._workers:
            worker.process.kill()
        await asyncio.gather(*(asyncio.to_thread(worker.process.join) for worker in self._workers))

    async def _ask(self, worker: _Worker, verb: str, *about: object) -> Any:
        token = next(self._tokens)
        answer = worker.pending[token] = asyncio.get_running_loop().create_future()
        worker.outbox.put((verb, token, *about))
        try:
            return await asyncio.wait_for(answer, ANSWER_S)
        except TimeoutError:
            return None
        finally:
            worker.pending.pop(token, None)

    def _give_out(self) -> None:
        """Jobs to whoever has a place, the one with most places first."""
        while not self._ending:
            free = [worker for worker in self._workers if worker.ready and len(worker.busy) < self.places]
            job = self.desk.next() if free else None
            if job is None:
                return
            worker = min(free, key=lambda each: len(each.busy))
            job.attempts += 1
            worker.jobs[job.id] = job
            worker.busy.add(job.id)
            worker.outbox.put(("paint", job.id, job.number, job.asked))

    def _let_go(self, job: Job) -> None:
        for worker in self._workers:
            if job.id in worker.jobs:
                worker.outbox.put(("cancel", job.id))

    def heard(self, worker: _Worker, message: Message) -> None:
        """What a process says."""
        match message:
            case ("ready", facts):
                self.facts = facts
                self._early, worker.ready = 0, True
                self._give_out()
            case ("unfit", line):
                if self.facts is None:
                    self._give_up(line)
                else:  # others go on; this one is tried again
                    _log.error("a process cannot open the models: %s", line)
            case ("answer", token, value):
                if (answer := worker.pending.get(token)) is not None and not answer.done():
                    answer.set_result(value)
            case ("free", id):
                worker.busy.discard(id)
                self._give_out()
            case (verb, id, *more) if (job := worker.jobs.get(id)) is not None:
                self._follow(worker, job, verb, *more)

    def _follow(self, worker: _Worker, job: Job, verb: str, *more: Any) -> None:
        if verb == "ended":
            del worker.jobs[job.id]
            self.desk.end(job, *more)
        elif job.going and verb == "begun":
            job.begin()
        elif job.going and verb == "step":
            job.advance(*more)

    def missed(self, worker: _Worker) -> None:
        """A process has ended. Its jobs go to others, and another takes its place."""
        for answer in worker.pending.values():
            if not answer.done():
                answer.set_result(None)
        if self._ending or self.unfit.done():
            return
        self.deaths += 1
        self._early = 0 if worker.ready else self._early + 1
        worker.ready = False
        how = ending(worker.process.exitcode or 0)
        _log.warning("process %d, which paints, %s; it had %d jobs", worker.process.pid, how, len(worker.jobs))
        jobs = list(worker.jobs.values())
        for job in jobs:
            if job.attempts >= MOST_ATTEMPTS:
                line = f"the process that painted it {how}, as did the one before; ask again, or for less"
                self.desk.end(job, "failed", error={"code": "lost", "message": line})
        self.desk.give_back([job for job in jobs if job.going])
        if self.facts is None and self._early >= MOST_OPENINGS:
            self._give_up(f"the process that opens the models {how}, {self._early} times; see handfirst doctor")
            return
        pause = 0.0 if self._early == 0 else min(LONGEST_PAUSE_S, 2.0 ** (self._early - 1))
        asyncio.get_running_loop().call_later(pause, self._replace, worker)

    def _give_up(self, why: str) -> None:
        if not self.unfit.done():
            self.unfit.set_result(why)

    def _replace(self, worker: _Worker) -> None:
        if not self._ending:
            self._workers[self._workers.index(worker)] = _Worker(worker.number, self)
