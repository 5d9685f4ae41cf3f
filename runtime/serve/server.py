"""A bounded queue in front of one opened model, and the threads that work it off.

Every picture is painted alone, so that it is the same to the last bit whatever else is being painted. Knows nothing
about what a job is beyond that it runs, and ends.
"""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Generator
from typing import Protocol

from handfirst.runtime.errors import BusyError, RequestError
from handfirst.runtime.serve.job import Job
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

    Args:
        model: an opened model, e.g. `handfirst.open()`.
        workers: pictures painted at a time, 1 .. 100,000. Each uses the cores that the model was opened with, and needs
            the memory of a picture.
        waiting: requests kept beyond those, 0 .. 100,000.

    Raises:
        RequestError: numbers outside of these ranges.
    """

    def __init__(self, model: Model, workers: int = 1, waiting: int = 16) -> None:
        _check("workers", workers, 1)
        _check("waiting", waiting, 0)
        self._model = model
        self._most = waiting
        self._changed = threading.Condition()
        self._queue: deque[Job] = deque()
        self._running: set[Job] = set()
        self._idle = workers
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"handfirst-{i}", daemon=True) for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.stop)  # a thread inside a native library must not outlive the interpreter

    @property
    def waiting(self) -> int:
        """Requests that nobody has begun."""
        with self._changed:
            self._drop_ended()
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
        """
        job = Job(request, self._model.steps(request), timeout)
        with self._changed:
            if self._closed:
                raise BusyError("the server is closed; it takes no more requests")
            self._drop_ended()
            if len(self._queue) - self._idle >= self._most:
                raise BusyError(
                    f"the server is busy: {self._most} requests wait, the most that it keeps; try again later, or open "
                    "it with a larger number for waiting"
                )
            self._queue.append(job)
            self._changed.notify()
        return job

    def close(self) -> None:
        """Takes no more requests, finishes those it has, and ends its threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        atexit.unregister(self.stop)

    def stop(self) -> None:
        """Takes no more requests, cancels those it has, and ends its threads, each after the step under way."""
        with self._changed:
            self._closed = True
            jobs = [*self._queue, *self._running]
        for job in jobs:
            job.cancel("as the server stopped")
        self.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        (self.close if kind is None else self.stop)()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        import asyncio

        await asyncio.to_thread(self.close if kind is None else self.stop)

    def _work(self) -> None:
        while (job := self._take()) is not None:
            job.run()
            with self._changed:
                self._running.discard(job)
                self._idle += 1
            del job  # its picture must not stay here until the next one comes

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
        """Cancelled and late jobs give their places back."""
        for job in [job for job in self._queue if job.done]:
            self._queue.remove(job)


def _check(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST:
        raise RequestError(f"{name}: expected a whole number from {least} to {MOST}, got {value!r}")
