"""What goes in and out, for the OpenAPI document. Bodies are checked elsewhere, more strictly than a schema can say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from handfirst.runtime.http.served import Served
from handfirst.runtime.system import JobKind


class Error(BaseModel):
    """What went wrong."""

    code: str
    message: str
    field: str | None = None


class Failure(BaseModel):
    """An answer that is none."""

    error: Error


class PictureSeen(BaseModel):
    """A file of a result."""

    name: str
    kind: str
    width: int
    height: int
    bytes: int
    href: str


class ResultSeen(BaseModel):
    """What came of a job."""

    seed: int
    asked: dict[str, Any]
    seconds: dict[str, float]
    warnings: list[str]
    pictures: list[PictureSeen]


class JobSeen(BaseModel):
    """A job."""

    id: str
    bundle: str
    state: Literal["waiting", "running", "succeeded", "failed", "cancelled", "timed-out"]
    position: int | None
    stage: str | None
    step: int | None
    total: int | None
    attempts: int
    seconds: dict[str, float]
    result: ResultSeen | None
    error: Error | None


class JobAsked(BaseModel):
    """A job that is wanted; `request` is filled in from what the models can be asked."""

    bundle: str | None = None
    request: dict[str, Any] | None = None
    example: bool | None = None
    timeout: float | None = Field(None, gt=0)
    pictures: Literal["all", "result"] | None = None


class PoseAsked(BaseModel):
    """A pose in any format."""

    pose: dict[str, Any] | list[Any] | str
    size: list[int] | None = Field(None, min_length=2, max_length=2)
    frame: int | None = Field(None, ge=1)
    image: str | None = None


class PoseSeen(BaseModel):
    """A pose in one format."""

    pose: dict[str, Any]
    width: int
    height: int
    people: list[dict[str, Any]]
    warnings: list[str]


class ImagesAsked(BaseModel):
    """Words to pictures, OpenAI's shape."""

    prompt: str
    model: str | None = None
    n: int | None = Field(None, ge=1, le=4)
    size: str | None = None
    response_format: Literal["b64_json", "url"] | None = None
    seed: int | None = Field(None, ge=0)
    user: str | None = None


class ImagesSeen(BaseModel):
    """Pictures, OpenAI's shape."""

    created: int
    data: list[dict[str, Any]]


class Capabilities(BaseModel):
    """What a server can be asked."""

    version: str
    ready: bool
    photos: bool
    bundles: list[dict[str, Any]]
    limits: dict[str, Any]


OF_A_JOB = ("see_job", "cancel_job", "follow_job", "preview_job", "fetch_picture")
"""Operations that take a job's id."""

FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": said}
    for status, said in {
        400: "malformed",
        401: "unauthorized",
        403: "origin",
        404: "not found",
        408: "slow",
        410: "gone",
        413: "too large",
        415: "content type",
        421: "host",
        422: "invalid",
        429: "busy",
        503: "not ready, or ending; a picture that did not come in time",
    }.items()
}


def described(asked: type[BaseModel] | None, seen: type[BaseModel], status: int = 200) -> dict[str, Any]:
    """What a route tells of its body and its answers."""
    more: dict[str, Any] = {"response_model": None, "responses": {**FAILURES, status: {"model": seen}}}
    if asked is not None:
        more["openapi_extra"] = _body({**asked.model_json_schema(), "additionalProperties": False})
    return more


def described_job(served: Sequence[Served]) -> dict[str, Any]:
    """The same for the route that takes jobs: what each model can be asked, and what can be done with a job."""
    more = described(None, JobSeen, 202)
    schema = JobAsked.model_json_schema()
    schema["properties"]["request"] = {"anyOf": [_asked(each.told.JOBS) for each in served]}
    example = {"bundle": served[0].name, "example": True}
    more["openapi_extra"] = _body({**schema, "additionalProperties": False, "examples": [example]})
    parameters = {"id": "$response.body#/id"}
    links = {name: {"operationId": name, "parameters": parameters} for name in OF_A_JOB}
    more["responses"][202]["links"] = links
    return more


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def streamed(kind: str) -> dict[str, Any]:
    """The same for an answer that is no JSON."""
    return {"response_model": None, "responses": {**FAILURES, 200: {"content": {kind: {}}, "description": kind}}}


def _asked(kind: JobKind) -> dict[str, Any]:
    """The schema of what a model can be asked; that of its fields where it stands by itself."""
    schema = kind.fields.model_json_schema()
    fields = {} if "$defs" in schema else schema["properties"]
    files = {
        name: {"type": ["object", "array", "string"], "description": "what lies in a file"} for name in kind.every_file
    }
    return {"type": "object", "title": schema["title"], "properties": {**files, **fields}}
