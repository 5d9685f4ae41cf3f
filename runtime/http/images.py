"""`POST /v1/images/generations` in OpenAI's shape: words to a picture in one call, with the pose of the example.

Knows the fields that make sense here, and refuses the others by name. Source: OpenAI's API reference, Create image.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from handfirst.runtime.http import shapes
from handfirst.runtime.http.job import Job
from handfirst.runtime.http.refused import Answer, RefusedError, invalid
from handfirst.runtime.http.service import Service, client_of, only

FIELDS = ("prompt", "model", "n", "size", "response_format", "seed", "user")
MOST = 4
STATUS = {"invalid": 422, "cancelled": 410, "ending": 503, "timeout": 503, "lost": 503}


def images_route(service: Service) -> APIRouter:
    """It, for one server."""
    router = APIRouter()

    @router.post("/v1/images/generations", **shapes.described(shapes.ImagesAsked, shapes.ImagesSeen))
    async def make_images(request: Request) -> Response:
        """Words to pictures."""
        body, _ = await service.body(request)
        said = only(body, FIELDS)
        number = service.model(said.get("model"))
        names = service.served[number].told.JOBS.names
        if "prompt" not in names:
            raise invalid("model: this one takes no prompt; ask it through /v1/jobs", FIELDS)
        count = _whole(said, "n", 1, 1, MOST)
        seed = _whole(said, "seed", secrets.randbelow(1 << 31), 0, 2**63 - MOST)
        form = said.get("response_format", "b64_json")
        if form not in ("b64_json", "url"):
            raise invalid(f"response_format: expected b64_json or url, got {form!a:.60}", FIELDS)
        if not isinstance(said.get("prompt"), str):
            raise invalid("prompt: expected a text, got none", FIELDS)
        _check_size(service, number, said.get("size", "auto"))
        wanted = [{"prompt": said["prompt"], "seed": seed + i} for i in range(count)]
        asked = [await service.asked(number, each, example=True, result_only=True) for each in wanted]
        jobs = service.accept(number, asked, client_of(request))
        try:
            await _until_over(request, jobs)
        finally:
            for job in jobs:  # those that go on: the caller went away
                service.desk.cancel(job)
        data = [_made(request, job, form) for job in jobs]
        return Answer({"created": int(time.time()), "data": data}, headers={"Cache-Control": "no-store"})

    return router


def _whole(said: dict[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = said.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise invalid(f"{name}: expected a whole number from {least} to {most}, got {value!a:.60}", FIELDS)
    return value


def _check_size(service: Service, number: int, said: object) -> None:
    """The model's own, as the example has shown it; any other is asked for through /v1/jobs."""
    facts = service.crew.facts
    if said != "auto" and facts is not None:
        own = "{width}x{height}".format(**facts[number]["picture"])
        if said != own:
            raise invalid(f"size: expected auto or {own}, this model's own, got {said!a:.60}", FIELDS)


async def _until_over(request: Request, jobs: Sequence[Job]) -> None:
    """Until all have ended, or the caller goes away."""

    async def all_over() -> None:
        for job in jobs:
            await job.over()

    async def left() -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(all_over()), asyncio.create_task(left())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _made(request: Request, job: Job, form: str) -> dict[str, Any]:
    """One picture.

    Raises:
        RefusedError: there is none.
    """
    if job.outcome is None:
        error = job.error or {"code": "failed", "message": f"the job is {job.state}"}
        status = STATUS.get(error["code"], 500)
        raise RefusedError(status, error["code"], error["message"], retry=10 if status == 503 else None)
    name, picture = next(iter(job.outcome.pictures.items()))
    seed = job.outcome.told["seed"]
    if form == "url":
        return {"url": f"{request.base_url}v1/jobs/{job.id}/pictures/{name}", "seed": seed}
    job.fetched = True
    return {"b64_json": base64.b64encode(picture.png).decode(), "seed": seed}
