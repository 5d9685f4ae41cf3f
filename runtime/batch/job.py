"""One job of a batch: a picture that is wanted, under a name, and when two jobs are the same.

Knows nothing about files of jobs, models or where results go.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.masks import BlendRule
from handfirst.runtime.errors import JobError
from handfirst.runtime.pose.read import parse_pose, read_pose
from handfirst.runtime.pose.size import LARGEST_SIDE, parse_size
from handfirst.runtime.request import Request

VERSION = 1
"""Of what a key is made from."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,98}[A-Za-z0-9_-]|[A-Za-z0-9]", re.ASCII)


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


def _two_sides(value: object) -> object:
    """ "640x512" or [640, 512] -> (640, 512)."""
    if isinstance(value, list | tuple) and all(type(side) is int for side in value):
        value = "x".join(map(str, value))
    try:
        return parse_size(value if isinstance(value, str | None) else "", "canvas")
    except UserError:
        raise ValueError(f"expected WIDTHxHEIGHT up to {LARGEST_SIDE}, such as 640x512 or [640, 512]") from None


Whole = Annotated[int, BeforeValidator(_no_truth)]
Real = Annotated[float, BeforeValidator(_no_truth)]
Sides = Annotated[tuple[int, int] | None, BeforeValidator(_two_sides)]


class JobFields(BaseModel):
    """What a job may say, beside its pose and its name; ranges are the Request's to check."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str
    negative_prompt: str = ""
    hand_prompt: str | None = None
    seed: Whole = 0
    steps: Whole | None = None
    guidance: Real | None = None
    hand_guidance: Real | None = None
    eta: Real | None = None
    blend: BlendRule = "expansion"
    feather: Real = 0.0
    size: str | None = None
    """"WIDTHxHEIGHT" of the pose's canvas, for formats that do not say it."""
    canvas: Sides = None
    """Width and height of the picture, for models of free size."""


NAMES = ("id", "pose", *JobFields.model_fields)
"""Everything that a job may say."""


@dataclass(frozen=True, eq=False)
class Job:
    """A job that is well formed; whether its pose can be read and its request makes sense shows in `request`."""

    id: str
    """Its name and that of its picture: letters, digits, "_", "-" and "."."""
    key: str
    """64 hex digits of what makes the picture what it is: two runs' jobs of equal id and key are the same job."""
    line: int
    """Where it stands in its file, from 1."""
    pose: Path | dict[str, Any] | list[Any]
    """A pose file, or what is in one."""
    fields: JobFields

    def request(self) -> Request:
        """What a model is asked.

        Raises:
            UserError: the pose cannot be read, or a field is out of its range.
        """
        size = parse_size(self.fields.size, "size")
        pose = read_pose(self.pose, size) if isinstance(self.pose, Path) else parse_pose(self.pose, size)
        return Request(pose=pose, size=self.fields.canvas, **self.fields.model_dump(exclude={"size", "canvas"}))


@dataclass(frozen=True)
class BadJob:
    """A job that is none, and why; `id` is "line N" where it has no name of its own that could be used."""

    id: str
    key: str
    line: int
    reason: str


def job_fields(values: Mapping[str, object]) -> JobFields:
    """Checks what a file says.

    Raises:
        JobError: naming the first field that does not fit, what was expected and what came.
    """
    try:
        return JobFields.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = first["loc"][0] if first["loc"] else "job"
        if first["type"] == "missing":
            raise JobError(f"{name}: expected one, got none") from None
        said = first["msg"].removeprefix("Value error, ")
        raise JobError(f"{name}: {said[:1].lower()}{said[1:]}, got {first['input']!a:.60}") from None


def job_id(value: object) -> str:
    """A name that a job gives itself.

    Raises:
        JobError: it cannot be the name of a file everywhere.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _ID.fullmatch(text):
        raise JobError(
            f'id: expected up to 100 letters, digits, "_", "-" or ".", a letter or digit first, got {value!a:.60}'
        )
    return text


def content_key(pose_digest: str, fields: JobFields) -> str:
    """The key of a job: the bytes of its pose and every field, defaults too.

    A canvas that is not said is left out: keys are what they were before jobs could say it.
    """
    said = fields.model_dump(exclude=None if fields.canvas else {"canvas"})
    content = {"version": VERSION, "pose": pose_digest, **said}
    return digest(json.dumps(content, sort_keys=True))


def digest(text: str) -> str:
    """64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
