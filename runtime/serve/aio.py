"""Jobs for asyncio: waits for a job without blocking the loop. What `await job` and `async for ... in job` run.

Knows nothing about servers or models, and of a job only what Watched says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Protocol

from handfirst.runtime.system import Progress


class Watched(Protocol):
    """What is asked of a job; see Job for what each does."""

    @property
    def remaining(self) -> float | None: ...

    def news(self, seen: int) -> tuple[int, Progress] | None: ...

    def watch(self, callback: Callable[[], None]) -> Callable[[], object]: ...

    def cancel(self) -> bool: ...


async def result(job: Watched) -> Any:
    """The job's result, or its error raised; a task that is cancelled here cancels the job."""
    made = None
    async for piece in progress(job):
        made = piece.result
    if made is None:
        raise RuntimeError("the job's progress ended without a result")
    return made


async def progress(job: Watched) -> AsyncIterator[Progress]:
    """Progress as it comes, the newest piece each time; a task that is cancelled while it waits cancels the job."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # a loop that was closed has nobody left to tell
            loop.call_soon_threadsafe(changed.set)

    unwatch = job.watch(wake)
    seen, made = 0, None
    try:
        while made is None:
            changed.clear()
            piece = job.news(seen)
            if piece is None:
                await _until(changed, job.remaining)
                continue
            seen, latest = piece
            made = latest.result
            yield latest
    except asyncio.CancelledError:
        job.cancel()
        raise
    finally:
        unwatch()


async def _until(changed: asyncio.Event, seconds: float | None) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(changed.wait(), seconds)
