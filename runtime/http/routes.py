"""The endpoints, docs/serve.md; pictures in OpenAI's shape are in images.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, get_args

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from handfirst.engines.errors import UserError
from handfirst.engines.installed import importable
from handfirst.runtime.http import shapes
from handfirst.runtime.http.asking import content_of
from handfirst.runtime.http.events import EventStream, Preview
from handfirst.runtime.http.job import Job
from handfirst.runtime.http.refused import Answer, RefusedError, invalid
from handfirst.runtime.http.service import Service, client_of, only
from handfirst.runtime.pose.numbers import canvas_size
from handfirst.runtime.pose.photo import is_photo

_NUMBER = re.compile(r"[0-9]{1,12}", re.ASCII)
KEPT = {"Cache-Control": "private, max-age=86400, immutable"}
"""A picture never changes."""


def routes(service: Service) -> APIRouter:
    """All of them, for one server."""
    router = APIRouter()
    for add in (_of_jobs, _of_results, _of_poses, _of_the_server):
        add(router, service)
    return router


def _of_jobs(router: APIRouter, service: Service) -> None:
    @router.post("/v1/jobs", status_code=202, **shapes.described_job(service.served))
    async def take_job(request: Request) -> Response:
        """Takes a job."""
        body, digest = await service.body(request)
        key, client = service.key(request), client_of(request)
        jobs = None if key is None else service.desk.again(key, digest)
        if jobs is not None:
            return _taken(jobs[0], {"Idempotent-Replayed": "true"})
        said = only(body, ("bundle", "request", "example", "timeout", "pictures"))
        number, seconds = service.model(said.get("bundle")), service.seconds(said.get("timeout"))
        example = said.get("example", False)
        if not isinstance(example, bool):
            raise invalid(f"example: expected true or false, got {example!a:.60}", ("example",))
        wanted = said.get("pictures", "all")
        if wanted not in ("all", "result"):
            raise invalid(f"pictures: expected all or result, got {wanted!a:.60}", ("pictures",))
        if "request" not in said and not example:
            raise invalid("request: expected an object, got none", ("request",))
        asked = await service.asked(number, said.get("request", {}), example, wanted == "result")
        if key is not None and (jobs := service.desk.again(key, digest)) is not None:  # came twice at once
            return _taken(jobs[0], {"Idempotent-Replayed": "true"})
        (job,) = service.accept(number, [asked], client, seconds)
        if key is not None:
            service.desk.remember(key, digest, [job])
        return _taken(job)

    @router.get("/v1/jobs/{id}", **shapes.described(None, shapes.JobSeen))
    async def see_job(id: str, request: Request) -> Response:
        """How a job stands."""
        return _seen(service.desk.find(id, client_of(request)))

    @router.post("/v1/jobs/{id}/cancel", **shapes.described(None, shapes.JobSeen))
    async def cancel_job(id: str, request: Request) -> Response:
        """Ends a job, within a step; one that has ended stays as it is."""
        job = service.desk.find(id, client_of(request))
        service.desk.cancel(job)
        return _seen(job)


def _of_results(router: APIRouter, service: Service) -> None:
    @router.get("/v1/jobs/{id}/events", **shapes.streamed("text/event-stream"))
    async def follow_job(id: str, request: Request, preview: str = "none") -> Response:
        """A job's events, from the beginning, or after the one that Last-Event-ID names."""
        job = service.desk.find(id, client_of(request))
        if preview not in get_args(Preview):
            raise invalid(f"preview: expected {', '.join(get_args(Preview))}, got {preview[:40]!a}", ("preview",))
        last = request.headers.get("last-event-id", "0").strip() or "0"
        if _NUMBER.fullmatch(last) is None:
            raise invalid(f"Last-Event-ID: expected the number of an event, got {last[:40]!a}")
        if service.streams >= service.limits.streams:
            raise RefusedError(429, "busy", f"{service.streams} readers of events, as many as this server has", retry=5)
        kind: Any = preview
        return EventStream(job, int(last), kind, service.crew.preview, _counted(service))

    @router.get("/v1/jobs/{id}/preview", **shapes.streamed("image/png"))
    async def preview_job(id: str, request: Request, known: str | None = None) -> Response:
        """The picture as it stands, or what else is known by now, by the names that the newest step tells."""
        png = await service.crew.preview(service.desk.find(id, client_of(request)), known)
        if png is None:
            raise RefusedError(404, "not-found", "no preview: the job has no such step yet, or has ended")
        return Response(png, media_type="image/png", headers={"Cache-Control": "no-store"})

    @router.get("/v1/jobs/{id}/pictures/{name}", **shapes.streamed("image/png"))
    async def fetch_picture(id: str, name: str, request: Request) -> Response:
        """A picture of a result."""
        job = service.desk.find(id, client_of(request))
        if job.outcome is None:
            raise RefusedError(404, "not-found", f"no pictures: the job is {job.state}")
        picture = job.outcome.pictures.get(name)
        if picture is None:
            raise RefusedError(404, "not-found", f"no such picture; this job has {', '.join(job.outcome.pictures)}")
        job.fetched = True
        return Response(picture.png, media_type="image/png", headers=KEPT)


def _of_poses(router: APIRouter, service: Service) -> None:
    @router.post("/v1/poses", **shapes.described(shapes.PoseAsked, shapes.PoseSeen))
    async def read_pose(request: Request) -> Response:
        """Reads a pose of any format, or finds one in a photo."""
        body, _ = await service.body(request)
        names = ("pose", "size", "frame", "image")
        said = only(body, names)
        if "pose" not in said:
            raise invalid("pose: expected one, got none", ("pose",))
        try:
            content = content_of("pose", said.pop("pose"), service.limits)
            more = _pose_options(said)
        except UserError as error:
            raise invalid(str(error), names) from None
        if isinstance(content, bytes) and is_photo(content) and not importable("mediapipe"):
            raise invalid(
                "pose: a photo needs a detector, and this server has none; capabilities.photos says so", names
            )
        found = await service.crew.pose(content, more)
        if found is None:
            raise RefusedError(503, "not-ready", "no process could read it; ask again in a moment", retry=2)
        if "error" in found:
            raise invalid(f"pose: {found['error']}", names)
        return Answer(found)


def _pose_options(said: dict[str, Any]) -> dict[str, Any]:
    """Raises a UserError where one of them makes no sense."""
    more: dict[str, Any] = {}
    if "size" in said:
        size = said["size"]
        if not isinstance(size, list) or len(size) != 2:
            raise UserError(f"size: expected [width, height], got {size!a:.60}")
        more["size"] = canvas_size(size[0], size[1], "size")
    if "frame" in said:
        frame = said["frame"]
        if isinstance(frame, bool) or not isinstance(frame, int) or frame < 1:
            raise UserError(f"frame: expected a whole number from 1, got {frame!a:.60}")
        more["frame"] = frame
    if "image" in said:
        if not isinstance(said["image"], str):
            raise UserError(f"image: expected a text, got {said['image']!a:.60}")
        more["image"] = said["image"]
    return more


def _of_the_server(router: APIRouter, service: Service) -> None:
    @router.get("/v1/capabilities", **shapes.described(None, shapes.Capabilities))
    async def capabilities() -> Response:
        """What this server can be asked."""
        facts: Sequence[Any] = service.crew.facts or (None,) * len(service.served)
        limits = service.limits
        return Answer(
            {
                "version": metadata.version("handfirst"),
                "ready": service.crew.ready > 0 and not service.desk.ending,
                "photos": importable("mediapipe"),
                "bundles": [each.describe(fact) for each, fact in zip(service.served, facts, strict=True)],
                "limits": {**vars(limits), "work": dict(limits.work)},
            },
            headers={"Cache-Control": "no-store"},
        )

    @router.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        """The process lives."""
        return Answer({"ok": True})

    @router.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        """It takes jobs."""
        if service.desk.ending:
            raise RefusedError(503, "ending", "the server is about to end", retry=10)
        if not service.crew.ready:
            raise RefusedError(503, "not-ready", "no process can paint yet", retry=2)
        return Answer({"ok": True})

    @router.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(await service.metrics.text(service.crew), media_type="text/plain; version=0.0.4; charset=utf-8")


def _counted(service: Service) -> Callable[[], None]:
    """One reader more, until what is returned is called."""

    def left() -> None:
        service.streams -= 1
        service.metrics.streams.dec()

    service.streams += 1
    service.metrics.streams.inc()
    return left


def _taken(job: Job, headers: dict[str, str] | None = None) -> Response:
    place = {"Location": f"/v1/jobs/{job.id}", "Cache-Control": "no-store"}
    return Answer(job.describe(), 202, {**place, **(headers or {})})


def _seen(job: Job) -> Response:
    return Answer(job.describe(), headers={"Cache-Control": "no-store"})
