"""A job's events as a stream: server-sent events, one reader each, from any event on.

A reader that is slow holds nothing but its place: what it has not read yet lies with the job, and what is older than
that is skipped. One that reads nothing for a while is let go. Source: HTML, section 9.2, Server-sent events.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Literal

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from handfirst.runtime.http.job import Event, Job

Preview = Literal["none", "link", "data"]
PING_S = 15.0
STUCK_S = 60.0
"""Without reading, until a reader is let go."""

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStream(Response):
    """An answer that goes on until the job ends, or the reader does.

    Args:
        job: whose events.
        after: the number of the last event that the reader has.
        preview: what the newest step shows.
        make_preview: the picture as it stands, PNG.
        closed: called once it is over.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        job: Job,
        after: int,
        preview: Preview,
        make_preview: Callable[[Job], Awaitable[bytes | None]],
        closed: Callable[[], None],
    ) -> None:
        super().__init__(headers=HEADERS)  # without a body, and so without its length
        del self.headers["content-length"]
        self._job, self._after, self._preview = job, after, preview
        self._make_preview, self._closed = make_preview, closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._closed()
            for task in (sending, leaving):
                task.cancel()
            for task in (sending, leaving):
                with suppress(asyncio.CancelledError, TimeoutError, OSError):
                    await task

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for piece in self._pieces():
            async with asyncio.timeout(STUCK_S):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        seen = self._after
        while True:
            try:
                async with asyncio.timeout(PING_S):
                    events = await self._job.news(seen)
            except TimeoutError:
                yield b": \n\n"
                continue
            for event in events:
                yield _written(event, await self._data(event, event is events[-1]))
                seen = event.number
            if not self._job.going and not self._job.after(seen):
                return

    async def _data(self, event: Event, newest: bool) -> dict[str, Any]:
        if event.name == "end":
            return self._job.describe()
        if event.name != "step":
            return event.data
        preview = None
        if newest and self._preview == "link":
            preview = f"/v1/jobs/{self._job.id}/preview?step={event.number}"
        if newest and self._preview == "data" and (png := await self._make_preview(self._job)) is not None:
            preview = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        return {**event.data, "preview": preview}


def _written(event: Event, data: dict[str, Any]) -> bytes:
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII, on one line
    return f"id: {event.number}\nevent: {event.name}\ndata: {text}\n\n".encode("ascii")


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
