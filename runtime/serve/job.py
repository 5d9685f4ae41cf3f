"""One request in a server's hands: its state, its newest progress, its end.

Of the progress only the newest piece is kept, so that a slow reader, or none, costs no memory. A job ends once: what
comes first of result, error, cancel and deadline counts. Watchers are called when the lock is free, so that they may do
with the job, or with its server, whatever anybody may. Knows nothing about queues.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import closing
from math import inf
from numbers import Real
from time import monotonic
from traceback import clear_frames
from types import TracebackType
from typing import Any, Literal

from handfirst.runtime.errors import DeadlineError, JobCancelledError, RequestError
from handfirst.runtime.forks import HomeCondition, Origin
from handfirst.runtime.serve import aio
from handfirst.runtime.system import Progress, Request

LONGEST = 1e6
"""Seconds that a job may be given."""

State = Literal["waiting", "running", "succeeded", "failed", "cancelled", "timed-out"]

GOING = ("waiting", "running")

_log = logging.getLogger(__name__)


class Job:
    """What `Server.submit` gives; any thread may call any of it, of the process that it was submitted in (ForkError).

    Iterating gives the progress, `async for` too; `await` gives the result. As a context manager it is cancelled where
    the block is left before it is done.

    Args:
        request: what is to be made.
        steps: how it is made, `model.steps(request)`; the last piece holds the result.
        timeout: seconds from now until it must be done, above 0, at most 1,000,000; None: as long as it takes.

    Raises:
        RequestError: such a timeout cannot be kept.
    """

    def __init__(self, request: Request, steps: Generator[Progress, None, None], timeout: float | None = None) -> None:
        if timeout is not None and not (_is_number(timeout) and 0 < timeout <= LONGEST):
            raise RequestError(f"timeout: expected seconds above 0, at most {LONGEST:.0f}, or None; got {timeout!r}")
        self.request = request
        self._steps: Generator[Progress, None, None] | None = steps
        self._timeout = timeout
        self._deadline = None if timeout is None else monotonic() + timeout
        self._changed = HomeCondition(Origin("this job was submitted"))
        self._state: State = "waiting"
        self._told = 0
        self._latest: Progress | None = None
        self._error: BaseException | None = None
        self._trace: TracebackType | None = None
        self._watchers: dict[object, Callable[[], None]] = {}

    @property
    def state(self) -> State:
        """Where it stands: waiting, running, or one of the four ends succeeded, failed, cancelled, timed-out."""
        self._look_at_the_clock()
        with self._changed:
            return self._state

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state not in GOING

    @property
    def latest(self) -> Progress | None:
        """The newest piece of progress; None before the first, and after any end but success."""
        with self._changed:
            return self._latest

    @property
    def remaining(self) -> float | None:
        """Seconds until its deadline, at least 0; None if it has none."""
        return None if self._deadline is None else max(0.0, self._deadline - monotonic())

    def result(self, timeout: float | None = None) -> Any:
        """Waits for the picture: the system's Result.

        Args:
            timeout: seconds to wait, at least 0; None: until the job ends. The job goes on when they are over.

        Raises:
            RequestError: such a timeout makes no sense.
            TimeoutError: it has not ended within `timeout`.
            JobCancelledError: it was cancelled.
            DeadlineError: its own time was over.
            Exception: what the model raised; a UserError, unless something unforeseen went wrong.
        """
        if timeout is not None and not (_is_number(timeout) and timeout >= 0):
            raise RequestError(f"timeout: expected seconds to wait, 0 or more, or None; got {timeout!r}")
        until = None if timeout is None else monotonic() + timeout
        while (state := self.state) in GOING:
            if until is not None and monotonic() >= until:
                raise TimeoutError(f"the job is still {state} after {timeout:g} s; it goes on")
            self._wait(until)
        latest = self.latest
        if latest is None:
            raise self._why()
        return latest.result

    def news(self, seen: int) -> tuple[int, Progress] | None:
        """What is new, without waiting.

        Args:
            seen: the number that came with the last piece that was read; 0 at first.

        Returns:
            the newest piece and its number, counted from 1; None if it was seen.

        Raises:
            JobCancelledError, DeadlineError, Exception: as `result`, once it has ended.
        """
        self._look_at_the_clock()
        with self._changed:
            if self._state not in GOING and self._latest is None:
                raise self._why()
            return None if self._latest is None or self._told <= seen else (self._told, self._latest)

    def __iter__(self) -> Iterator[Progress]:
        """Progress as it comes; a slow reader misses pieces, but never the last one, which holds the result.

        Raises:
            JobCancelledError, DeadlineError, Exception: as `result`.
        """
        seen, result = 0, None
        while result is None:
            while (piece := self.news(seen)) is None:
                self._wait(None, seen)
            seen, progress = piece
            result = progress.result
            yield progress

    def __aiter__(self) -> AsyncIterator[Progress]:
        """The same for asyncio; a task that is cancelled while it waits for a piece cancels the job."""
        return aio.progress(self)

    def __await__(self) -> Generator[Any, None, Any]:
        """The result for asyncio; a task that is cancelled while it waits cancels the job."""
        return aio.result(self).__await__()

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def cancel(self, why: str = "by its caller") -> bool:
        """Ends it at once for whoever waits; a worker that is at it lets go after the step under way.

        Returns:
            whether it did: False if it had ended before, with a result or without.
        """
        return self._end("cancelled", JobCancelledError(f"the job was cancelled {why}"))

    def watch(self, callback: Callable[[], None]) -> Callable[[], object]:
        """Calls `callback` after every change, until the function that is returned is called.

        From the thread that made the change: a worker's, or whoever cancels, or finds the deadline over. It should be
        quick and wait for nothing. One that raises is logged, and not called again; nobody else hears of it.

        Raises:
            RequestError: it cannot be called.
        """
        if not callable(callback):
            raise RequestError(f"callback: expected a function without arguments, got {type(callback).__name__}")
        watcher = object()
        with self._changed:
            self._watchers[watcher] = callback
        return lambda: self._unwatch(watcher)

    def run(self) -> None:
        """Works it off in the calling thread, once; a server's workers call this. Errors become the job's own."""
        self._look_at_the_clock()
        with self._changed:
            steps, self._steps = self._steps, None
            if steps is None:
                return
            self._state = "running"
        self._tell()
        try:
            with closing(steps):
                for progress in steps:
                    if not self._advance(progress):
                        return
            raise RuntimeError("the model's steps ended without a result")
        except BaseException as error:  # a worker outlives whatever a job does
            clear_frames(error.__traceback__)  # where it happened is kept, the tensors that were there are not
            self._end("failed", error)
        finally:
            del self  # an error's traceback holds this frame: it would hold the job, which holds the error

    def _advance(self, progress: Progress) -> bool:
        """Takes a piece; whether the work goes on."""
        self._look_at_the_clock()
        with self._changed:
            if self._state not in GOING:
                return False
            self._told += 1
            self._latest = progress
            if progress.result is not None:
                self._state = "succeeded"
        self._tell()
        return progress.result is None

    def _end(self, state: State, error: BaseException) -> bool:
        """Any end but success, unless it has ended."""
        with self._changed:
            if self._state not in GOING:
                return False
            self._state, self._latest, self._steps = state, None, None
            self._error, self._trace = error, error.__traceback__
        self._tell()
        return True

    def _look_at_the_clock(self) -> None:
        """Ends it if its time is over; never called with the lock held, as watchers hear of it."""
        if self._state in GOING and self._deadline is not None and monotonic() >= self._deadline:
            self._end("timed-out", DeadlineError(f"the job was still {self._state} after its {self._timeout:g} s"))

    def _why(self) -> BaseException:
        """The error that it ended with; raised again and again, it remembers no earlier reader."""
        return RuntimeError("the job has no error") if self._error is None else self._error.with_traceback(self._trace)

    def _wait(self, until: float | None, seen: float = inf) -> None:
        """Until it ends, or more than `seen` pieces have come, or a time is over; may come back sooner."""
        ends = [end for end in (until, self._deadline) if end is not None]
        with self._changed:
            if self._state in GOING and self._told <= seen:
                self._changed.wait(min(max(0.0, min(ends) - monotonic()), LONGEST) if ends else None)

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
            watchers = list(self._watchers.items())
        for watcher, callback in watchers:
            try:
                callback()
            except BaseException as error:  # it must not cost a worker, or a caller who cancels
                if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                    raise  # Ctrl-C, which comes to the main thread alone
                if self._unwatch(watcher):
                    _log.warning("a watcher of a job raised; it is not called again", exc_info=error)

    def _unwatch(self, watcher: object) -> bool:
        """Whether it was there."""
        with self._changed:
            return self._watchers.pop(watcher, None) is not None


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
