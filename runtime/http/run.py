"""From a command to a server that listens, and to its end: SIGTERM finishes what runs, within a limit, and exits 0."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

import uvicorn

from handfirst.engines.errors import UserError
from handfirst.runtime.batch.on_ray import Opening
from handfirst.runtime.http.app import application
from handfirst.runtime.http.crew import Crew
from handfirst.runtime.http.desk import Desk
from handfirst.runtime.http.doors import Doors
from handfirst.runtime.http.limits import Limits
from handfirst.runtime.http.metrics import ServerMetrics
from handfirst.runtime.http.served import Served
from handfirst.runtime.http.service import Service

LINGER_S = 5.0
"""After the last job has ended, for callers who have not fetched their picture."""
CLOSE_S = 2
"""For connections, after that."""
CONNECTIONS = 1000
BACKLOG = 512


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What is to be served, and how."""

    served: Sequence[Served]
    openings: Sequence[Opening]
    limits: Limits
    doors: Doors
    workers: int
    places: int
    grace: float
    """Seconds in which jobs may still end after SIGTERM."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; raises a UserError where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named: asyncio switches Nagle's algorithm off only where it is, and an answer in two pieces waits
    # 40 ms for it
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would let two programs have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UserError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; choose another with --host or --port"
        ) from None
    return listener


def run(plan: Plan, listener: socket.socket, say: Callable[[], None]) -> None:
    """Serves until a signal ends it.

    Args:
        listener: what it answers on.
        say: called once it can paint.

    Raises:
        UserError: the models cannot be opened.
    """
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
    asyncio.run(_serve(plan, listener, say))


async def _serve(plan: Plan, listener: socket.socket, say: Callable[[], None]) -> None:
    desk = Desk(plan.limits, plan.workers * plan.places)
    metrics = ServerMetrics(desk)
    crew = Crew(desk, plan.openings, plan.workers, plan.places)
    app = application(Service(plan.served, plan.limits, desk, crew, metrics), plan.doors)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # anybody on this machine could say who they are
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=CLOSE_S,
    )
    server = _Uvicorn(config, desk, plan.grace)
    looking = asyncio.create_task(desk.look_after())
    watching = asyncio.create_task(_watch(crew, server, say))
    try:
        await server.serve([listener])
        desk.end_all("ending", "the server ended before the job did; ask again")
    finally:
        looking.cancel()
        watching.cancel()
        await crew.end()
    if crew.unfit.done():
        raise UserError(crew.unfit.result())


async def _watch(crew: Crew, server: _Uvicorn, say: Callable[[], None]) -> None:
    """Says when it can paint; ends the server where it never will."""
    while not crew.ready and not crew.unfit.done():
        await asyncio.sleep(0.02)
    if crew.ready:
        say()
    await asyncio.shield(crew.unfit)
    server.should_exit = True


class _Uvicorn(uvicorn.Server):
    """Its own way to end: first what runs, then connections. A second signal ends it at once."""

    def __init__(self, config: uvicorn.Config, desk: Desk, grace: float) -> None:
        super().__init__(config)
        self._desk, self._grace = desk, grace
        self._draining: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal's handler. What it was is not kept: uvicorn would raise it again in the end."""
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._draining is None:
            going = self._desk.waiting + self._desk.running
            _log.warning("ends; %d jobs have %g s, a second signal ends it at once", going, self._grace)
            self._draining = asyncio.create_task(self._drain())
        else:
            self._draining.cancel()
            self.should_exit = self.force_exit = True

    async def _drain(self) -> None:
        await self._desk.drain(self._grace, LINGER_S)
        self.should_exit = True
