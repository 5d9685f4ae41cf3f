"""A bounded queue in front of one opened model, and the threads that work it off.

Every picture is painted alone, so that it is the same to the last bit whatever else is being painted. Knows nothing
about what a job is beyond that it runs, and ends.
"""

from __future__ import annotations

import atexit
import operator
import threading
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from contextvars import copy_context
from typing import Protocol

from handfirst.runtime.errors import BusyError, RequestError
from handfirst.runtime.forks import HomeCondition, Origin
from handfirst.runtime.serve.job import Job
from handfirst.runtime.serve.warm_up import warm_up as paint_once
from handfirst.runtime.system import Progress, Request

MOST = 100_000


class Model(Protocol):
    """What a server asks of a model; every System is one."""

    def steps(self, request: Request) -> Generator[Progress, None, None]:
        """One picture, step by step; checks the request at once, and works only while it is iterated."""
        ...


class Server:
    """Serves one model to many threads; a context manager, also of asyncio's kind.

    Left in peace it finishes what it accepted (`close`); left by an error it cancels it (`stop`). The model stays open.
    Recorders that listen where it is opened hear its workers. It belongs to the process that opened it: a child that
    was forked from it gets a ForkError, and ends without it.

    Args:
        model: an opened model, e.g. `handfirst.open()`.
        workers: pictures painted at a time, 1 .. 100,000. Each uses the cores that the model was opened with, and needs
            the memory of a picture.
        waiting: requests kept beyond those, 0 .. 100,000.
        warm_up: paint once before there are workers, so that the first caller waits no longer than the others: True for
            the system's own example, or a request like those that will come; see `handfirst.warm_up`.

    Raises:
        RequestError: numbers outside of these ranges, no model, or a warm-up that does not fit it.
        Exception: what the model raised as it warmed up.
    """

    def __init__(self, model: Model, workers: int = 1, waiting: int = 16, warm_up: bool | Request = False) -> None:
        workers, self._most = _whole("workers", workers, 1), _whole("waiting", waiting, 0)
        if not callable(getattr(model, "steps", None)):
            raise RequestError(f"model: expected an opened one, as handfirst.open gives, got {type(model).__name__}")
        if warm_up:
            paint_once(model, None if warm_up is True else warm_up)
        self._model = model
        self._origin = Origin("this server was opened")
        self._changed = HomeCondition(self._origin)
        self._queue: deque[Job] = deque()
        self._running: set[Job] = set()
        self._working: set[threading.Thread] = set()
        self._idle = workers
        self._closed = False
        self._threads = [
            threading.Thread(target=copy_context().run, args=(self._work,), name=f"handfirst-{i}", daemon=True)
            for i in range(workers)
        ]
        atexit.register(self._at_exit)
        try:
            for thread in self._threads:
                thread.start()
        except BaseException as error:
            self.stop()
            if isinstance(error, RuntimeError):
                begun = sum(thread.ident is not None for thread in self._threads)
                raise RequestError(f"workers: the system starts {begun} threads here, got {workers}") from error
            raise

    @property
    def waiting(self) -> int:
        """Requests that nobody has begun."""
        self._drop_ended()
        with self._changed:
            return len(self._queue)

    @property
    def running(self) -> int:
        """Jobs that workers are at."""
        with self._changed:
            return len(self._running)

    def submit(self, request: Request, timeout: float | None = None) -> Job:
        """Takes a request and comes back at once.

        Args:
            request: what to make.
            timeout: seconds until it must be done, the time in the queue included: above 0, at most 1,000,000; None: as
                long as it takes.

        Raises:
            BusyError: the queue is full, or the server is closed.
            RequestError: the request does not fit the model, or the timeout makes no sense.
            ForkError: the server was opened before this process was forked.
        """
        self._origin.check()
        if not isinstance(request, Request):
            raise RequestError(f"request: expected one of the model's, got {type(request).__name__}")
        job = Job(request, self._model.steps(request), timeout)
        self._drop_ended()
        with self._changed:
            if self._closed:
                raise BusyError("the server is closed; it takes no more requests")
            if len(self._queue) - self._idle >= self._most:
                raise BusyError(
                    f"the server is busy: {self._most} requests wait, the most that it keeps; try again later, or open "
                    "it with a larger number for waiting"
                )
            self._queue.append(job)
            self._changed.notify()
        return job

    def close(self) -> None:
        """Takes no more requests, finishes those it has, and ends its threads. Where it is interrupted, by Ctrl-C, it
        cancels what is left. In a forked child it does nothing.

        Raises:
            RequestError: called by one of its own threads, from a job's watcher, which would wait for itself.
        """
        if not self._may_end():
            return
        try:
            with self._changed:
                self._closed = True
                self._changed.notify_all()
                # not Thread.join: interrupted once, it may take a running thread for one that has ended
                self._changed.wait_for(lambda: not self._queue and not self._working)
        except BaseException:  # who waits no longer wants no more pictures
            self._cancel()
            raise
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        atexit.unregister(self._at_exit)

    def stop(self) -> None:
        """Takes no more requests, cancels those it has, and ends its threads, each after the step under way; otherwise
        as `close`."""
        if self._may_end():
            self._cancel()
            self.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        (self.close if kind is None else self.stop)()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        import asyncio

        try:
            await asyncio.to_thread(self.close if kind is None else self.stop)
        except asyncio.CancelledError:
            self._cancel()  # the thread goes on closing, and is to have little left to wait for
            raise

    def _work(self) -> None:
        thread = threading.current_thread()
        with self._changed:
            self._working.add(thread)
        try:
            while (job := self._take()) is not None:
                job.run()
                with self._changed:
                    self._running.discard(job)
                    self._idle += 1
                del job  # its picture must not stay here until the next one comes
        finally:
            with self._changed:
                self._working.discard(thread)
                self._changed.notify_all()

    def _take(self) -> Job | None:
        """The next job, once there is one; None when the server is closed and nothing is left."""
        with self._changed:
            while not self._queue:
                if self._closed:
                    return None
                self._changed.wait()
            job = self._queue.popleft()
            self._running.add(job)
            self._idle -= 1
            return job

    def _drop_ended(self) -> None:
        """Cancelled and late jobs give their places back. Whether one is late is asked when the lock is free, as its
        watchers hear of it, who may ask the server something."""
        with self._changed:
            waiting = list(self._queue)
        ended = {job for job in waiting if job.done}
        with self._changed:
            for job in ended.intersection(self._queue):
                self._queue.remove(job)

    def _may_end(self) -> bool:
        """Whether it can end in this process; a RequestError in a thread that would wait for itself."""
        if threading.current_thread() in self._threads:
            raise RequestError("close: a server cannot wait for its own threads; end it from another one")
        return self._origin.here

    def _cancel(self) -> None:
        with self._changed:
            self._closed = True
            jobs = [*self._queue, *self._running]
            self._changed.notify_all()
        for job in jobs:
            job.cancel("as the server stopped")

    def _at_exit(self) -> None:
        """A thread inside a native library must not outlive the interpreter: another Ctrl-C waits for the step."""
        ended = False
        while not ended:
            with suppress(KeyboardInterrupt):
                self.stop()
                ended = True


def _whole(name: str, value: int, least: int) -> int:
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if not least <= number <= MOST:
        raise RequestError(f"{name}: expected a whole number from {least} to {MOST}, got {value!r}")
    return number
