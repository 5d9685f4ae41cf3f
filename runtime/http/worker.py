"""What a process does that paints: opens the models, takes jobs through a pipe, sends back steps and pictures.

It is started afresh (spawn), knows nothing of HTTP, and ends when the pipe does: nobody is left to paint for. Signals
that a terminal or a supervisor sends to all processes are for the one that answers HTTP, which tells this one when to
end.

Messages, from the parent: ("paint", id, model, Asked), ("cancel", id), ("preview", token, id, known),
("pose", token, ...), ("metrics", token), ("end",). To it: ("ready", facts), ("unfit", line), ("begun", id),
("step", id, stage, step, total, known), ("free", id) when another picture can be begun, ("ended", id, state, outcome,
error), ("answer", token, value).
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from handfirst.engines.errors import UserError, lacks_memory
from handfirst.runtime.batch.on_ray import Opening
from handfirst.runtime.errors import JobCancelledError, JobError, PoseError, RequestError
from handfirst.runtime.http.asking import Asked, check_fit, request_of
from handfirst.runtime.http.job import Outcome, Picture
from handfirst.runtime.http.limits import Limits
from handfirst.runtime.http.poses import describe_pose
from handfirst.runtime.metadata import packet
from handfirst.runtime.pictures import encode, encode_of
from handfirst.runtime.serve.job import Job
from handfirst.runtime.serve.server import Server
from handfirst.runtime.serve.warm_up import example_of
from handfirst.runtime.system import System, SystemModule
from handfirst.runtime.systems import module_of
from handfirst.runtime.timing.prometheus import Metrics, with_process
from handfirst.runtime.timing.spans import recording

Message = tuple[Any, ...]
TELLS = (RequestError, PoseError, JobError)
"""Errors that speak of a request alone; what others say may name a place on this machine."""

_log = logging.getLogger(__name__)


def work(connection: Connection, openings: Sequence[Opening], jobs: int, limits: Limits) -> None:
    """Lives until the pipe ends.

    Args:
        connection: this end of the pipe.
        openings: the models.
        jobs: pictures painted at a time, of each model.
        limits: what may be asked of them.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(format="%(levelname)s %(name)s [%(process)d] %(message)s")
    metrics = with_process(Metrics())
    try:
        with recording(metrics):
            models = [_open(opening, jobs) for opening in openings]
    except UserError as error:
        connection.send(("unfit", str(error)))
        return
    worker = _Worker(connection, [model for model, _ in models], metrics, jobs, limits)
    worker.tell(("ready", [facts for _, facts in models]))
    worker.listen()


@dataclass(frozen=True)
class _Model:
    system: System
    told: SystemModule
    server: Server


def _open(opening: Opening, jobs: int) -> tuple[_Model, dict[str, Any]]:
    """A model that has painted once, and what was learnt of it thereby."""
    system = opening.open()
    told = module_of(system.bundle.manifest)
    result = system.render(example_of(system))
    height, width = result.image.shape[:2]
    facts = {
        "engine": {"name": system.engine.engine, "reason": system.engine.reason},
        "picture": {"width": width, "height": height},
        "pictures": [{"kind": kind, "name": name} for name, (kind, _) in _pictures(told, result).items()],
        "work": told.work(told.example(), system.settings),
    }
    return _Model(system, told, Server(system, jobs, waiting=jobs)), facts


def _pictures(told: SystemModule, result: Any, result_only: bool = False) -> dict[str, tuple[str, Any]]:
    """All that a result holds, by name, the sheet among them; or the picture alone."""
    if result_only:
        return {"result": ("result", result.image)}
    found = {name: (kind, image) for kind, name, image in told.pictures(result)}
    return found if "sheet" in found else {**found, "sheet": ("sheet", told.sheet(result))}


class _Worker:
    """The pipe's end: one thread listens, one speaks, some read what was asked."""

    def __init__(
        self, connection: Connection, models: Sequence[_Model], metrics: Metrics, jobs: int, limits: Limits
    ) -> None:
        self._connection, self._models, self._metrics, self._limits = connection, models, metrics, limits
        self._jobs: dict[str, Job | None] = {}
        self._lock = threading.Lock()
        self._outbox: SimpleQueue[Callable[[], Message] | None] = SimpleQueue()
        self._readers = ThreadPoolExecutor(jobs + 1, "handfirst-reader")
        self._speaker = threading.Thread(target=self._speak, daemon=True)
        self._speaker.start()

    def tell(self, message: Message) -> None:
        """Says it, after what was said before."""
        self._outbox.put(lambda: message)

    def listen(self) -> None:
        """Until the parent says "end", or is no more: then there is nothing to wait for, a step of an engine least."""
        try:
            while (message := self._connection.recv())[0] != "end":
                self._hear(message)
        except (EOFError, OSError):
            os._exit(1)
        for model in self._models:
            model.server.stop()
        self._readers.shutdown()
        self._outbox.put(None)
        self._speaker.join()
        for model in self._models:
            model.system.close()

    def _speak(self) -> None:
        try:
            while (made := self._outbox.get()) is not None:
                self._connection.send(made())
                del made  # a result must not stay here until the next one comes
        except OSError:  # the parent is no more
            os._exit(1)

    def _hear(self, message: Message) -> None:
        match message:
            case ("paint", id, number, asked):
                with self._lock:
                    self._jobs[id] = None
                self._readers.submit(self._begin, id, self._models[number], asked)
            case ("cancel", id):
                with self._lock:
                    job = self._jobs.pop(id, None)
                if job is not None:
                    job.cancel()
            case ("preview", token, id, known):
                self._readers.submit(self._answer, token, lambda: self._preview(id, known))
            case ("pose", token, content, more):
                self._readers.submit(self._answer, token, lambda: _pose(content, more))
            case ("metrics", token):
                self._readers.submit(self._answer, token, lambda: list(self._metrics.registry.collect()))

    def _answer(self, token: int, make: Callable[[], Any]) -> None:
        try:
            value = make()
        except Exception:
            _log.exception("a question could not be answered")
            value = None
        self.tell(("answer", token, value))

    def _begin(self, id: str, model: _Model, asked: Asked) -> None:
        """Reads what was asked and hands it to the model's server."""
        try:
            request = request_of(model.told, asked)
            check_fit(model.told, model.system.settings, request, self._limits)
            job = model.server.submit(request)
        except BaseException as error:
            self._jobs.pop(id, None)
            self.tell(("free", id))
            self.tell(("ended", id, *_why(error)))
            return
        follower = _Follower(id, job, model, asked.result_only, self)
        with self._lock:
            wanted = id in self._jobs
            if wanted:
                self._jobs[id] = job
        if not wanted:
            job.cancel()
        job.watch(follower.look)
        follower.look()

    def over(self, id: str, make: Callable[[], Message]) -> None:
        """A job has ended; its pictures are written by the thread that speaks, while the next one is painted."""
        self.tell(("free", id))
        self._outbox.put(make)
        with self._lock:
            self._jobs.pop(id, None)

    def _preview(self, id: str, known: str | None) -> bytes | None:
        job = self._jobs.get(id)
        latest = None if job is None else job.latest
        make = None if latest is None else latest.preview if known is None else latest.known.get(known)
        return None if make is None else encode(make())


class _Follower:
    """Tells of a job what changes; called from whichever thread makes the change."""

    def __init__(self, id: str, job: Job, model: _Model, result_only: bool, worker: _Worker) -> None:
        self._id, self._job, self._model, self._worker = id, job, model, worker
        self._result_only = result_only
        self._lock = threading.Lock()
        self._said: Any = None
        self._begun = self._ended = False

    def look(self) -> None:
        """What is new is told, once, in order."""
        with self._lock:
            state, latest = self._job.state, self._job.latest
            if self._ended:
                return
            if not self._begun and state != "waiting":
                self._begun = True
                self._worker.tell(("begun", self._id))
            if latest is not None and latest is not self._said:
                self._said = latest
                self._worker.tell(("step", self._id, latest.stage, latest.step, latest.total, tuple(latest.known)))
            if self._job.done:
                self._ended = True
                self._worker.over(self._id, self._end)

    def _end(self) -> Message:
        try:
            result = self._job.result()
            xmp = packet(self._model.system.bundle, result)
            pictures = {
                name: Picture(kind, image.shape[1], image.shape[0], encode_of(result, image, xmp=xmp))
                for name, (kind, image) in _pictures(self._model.told, result, self._result_only).items()
            }
        except BaseException as error:
            return ("ended", self._id, *_why(error))
        told = {
            "seed": result.seed,
            "asked": dict(result.asked),
            "seconds": {stage: round(duration, 4) for stage, duration in result.seconds.items()},
            "warnings": list(result.warnings),
        }
        return ("ended", self._id, "succeeded", Outcome(told, pictures), None)


def _why(error: BaseException) -> tuple[str, None, dict[str, str]]:
    """State and error of a job that came to nothing."""
    if isinstance(error, JobCancelledError):
        return "cancelled", None, {"code": "cancelled", "message": "the job was cancelled"}
    if isinstance(error, TELLS):
        return "failed", None, {"code": "invalid", "message": " ".join(str(error).split())}
    _log.error("a job failed", exc_info=error)
    if lacks_memory(error):
        message = "not enough memory; ask for a smaller picture, or later"
    else:
        message = "something went wrong in the model; the server's log has what"
    return "failed", None, {"code": "failed", "message": message}


def _pose(content: Any, more: dict[str, Any]) -> dict[str, Any]:
    """A pose as JSON, or why it cannot be read."""
    try:
        return describe_pose(content, **more)
    except TELLS as error:
        return {"error": " ".join(str(error).split())}
