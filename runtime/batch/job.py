"""One job of a batch: a picture that is wanted, under a name; when two jobs are the same; and how a job ends.

Knows nothing about files of jobs, how pictures are made, or where they go.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from handfirst.runtime.errors import JobError
from handfirst.runtime.system import Content, JobKind, Request

VERSION = 1
"""Of what a key is made from."""

_LATER = (
    "canvas",
    "frame",
    "image",
    "default_size",
    "hand_steps",
    "solver",
    "hand_solver",
    "speed",
    "gesture",
    "mu",
    "close_up",
    "armless",
)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,98}[A-Za-z0-9_-]|[A-Za-z0-9]", re.ASCII)


@dataclass(frozen=True, eq=False)
class Job:
    """A job that is well formed; whether its files can be read and its request makes sense shows in `request`."""

    id: str
    """Its name and that of its picture: letters, digits, "_", "-" and "."."""
    key: str
    """64 hex digits of what makes the picture what it is: two runs' jobs of equal id and key are the same job."""
    line: int
    """Where it stands in its file, from 1."""
    kind: JobKind
    files: Mapping[str, Content]
    """What lies in files, by name."""
    fields: BaseModel

    def request(self) -> Request:
        """What a model is asked.

        Raises:
            UserError: a file cannot be read, or a field is out of its range.
        """
        return self.kind.request(self.fields, self.files)


@dataclass(frozen=True)
class BadJob:
    """A job that is none, and why; `id` is "line N" where it has no name of its own that could be used."""

    id: str
    key: str
    line: int
    reason: str


@dataclass(frozen=True, eq=False)
class Painted:
    """A finished picture, ready for the disk; plain enough to travel between machines."""

    data: bytes
    """The file."""
    seed: int
    seconds: dict[str, float]
    """Wall time by stage, of the batch that it was painted in."""
    batch: int
    """Pictures in that batch."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Done:
    """A job with its picture."""

    job: Job
    painted: Painted


@dataclass(frozen=True, eq=False)
class Failed:
    """A job without, and why, in one line."""

    job: Job | BadJob
    reason: str
    again: bool = False
    """Whether the next run tries it again without being told to: memory that ran out says nothing about the job."""


Outcome = Done | Failed


def job_fields(kind: JobKind, values: Mapping[str, object]) -> BaseModel:
    """Checks what a file says.

    Raises:
        JobError: naming the first field that does not fit, what was expected and what came.
    """
    try:
        return kind.fields.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = first["loc"][0] if first["loc"] else "job"
        if first["type"] == "missing":
            raise JobError(f"{name}: expected one, got none") from None
        said = first["msg"].removeprefix("Value error, ")
        raise JobError(
            f"{name}: {said[:1].lower()}{said[1:]}, got {first['input']!a:.60}{_advice(first['type'], first['input'])}"
        ) from None


def _advice(problem: str, value: object) -> str:
    """How a number is mended that a spreadsheet has written in its own way."""
    if problem not in ("int_parsing", "float_parsing") or not isinstance(value, str):
        return ""
    if re.fullmatch(r"[-+]?[0-9.]*,[0-9]+", value.strip()):
        return "; write a point for the comma"
    if re.fullmatch(r"[-+]?[0-9.,]+[eE][-+]?[0-9]+", value.strip()):
        return "; write all of its digits"
    if value.strip().lower() in ("nan", "null", "none", "n/a", "#n/a", "-"):
        return "; leave it empty"
    return ""


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


def content_key(digests: Mapping[str, str], fields: BaseModel) -> str:
    """The key of a job: the bytes of its files and every field, defaults too.

    What jobs could not say at first is left out where it is not said: keys are what they were before.
    """
    usual = {name: field.default for name, field in type(fields).model_fields.items() if name in _LATER}
    said = {name: value for name, value in fields.model_dump().items() if name not in usual or value != usual[name]}
    return digest(json.dumps({"version": VERSION, **digests, **said}, sort_keys=True))


def digest(text: str) -> str:
    """64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
