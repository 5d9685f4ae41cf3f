"""The application: endpoints, the page, doors, and one shape for all that goes wrong."""

from __future__ import annotations

import logging
from importlib import metadata

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handfirst.runtime.http.doors import Doors, Guard
from handfirst.runtime.http.images import images_route
from handfirst.runtime.http.page import ROUTES
from handfirst.runtime.http.refused import RefusedError
from handfirst.runtime.http.routes import routes
from handfirst.runtime.http.service import Service

_log = logging.getLogger(__name__)

PLAIN = {404: ("not-found", "nothing is here"), 405: ("method", "not with this verb")}
SHOWN = ("Location", "Retry-After", "Idempotent-Replayed")
TAKEN = ("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID")


def application(service: Service, doors: Doors) -> ASGIApp:
    """What uvicorn runs."""
    app = FastAPI(
        title="handfirst",
        version=metadata.version("handfirst"),
        openapi_url="/v1/openapi.json",
        docs_url=None,  # its page comes from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.include_router(routes(service))
    app.include_router(images_route(service))
    app.router.routes.extend(ROUTES)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(Exception, _bug)
    guarded: ASGIApp = Guard(app, doors)
    if doors.origins:
        guarded = CORSMiddleware(
            guarded, doors.origins, allow_methods=("GET", "POST"), allow_headers=TAKEN, expose_headers=SHOWN
        )
    return _Counted(guarded, service)


class _Counted:
    """ASGI: answers by status."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._service.metrics.answers.labels(str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, count)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return error.answer()


async def _plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, message = PLAIN.get(error.status_code, ("malformed", "no such request is known here"))
    return RefusedError(error.status_code, code, message).answer(error.headers)


async def _bug(request: Request, error: Exception) -> Response:
    return RefusedError(500, "internal", "a bug in the server; its log has the trace").answer()
