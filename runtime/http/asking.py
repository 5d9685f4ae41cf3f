"""From a body to what a model is asked: strict JSON, files that are in it, fields that the system knows.

A path that a request names is never opened. What lies in a `data:` URL is put into a file of its own for as long as it
is read, and messages call it by its field. Knows nothing about HTTP; whoever takes requests as JSON may use it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from handfirst.engines.errors import UserError
from handfirst.runtime.batch.job import job_fields
from handfirst.runtime.errors import RequestError
from handfirst.runtime.http.limits import Limits
from handfirst.runtime.system import Content, JobKind, Request, SystemModule

_DATA = re.compile(r"data:[A-Za-z0-9.+/-]{0,100};base64,")
_OPTION = re.compile(r"--([a-z-]+)")


@dataclass(frozen=True, eq=False)
class Asked:
    """What was said and is known by name; plain enough to travel between processes."""

    fields: dict[str, Any]
    """As they came."""
    files: dict[str, dict[str, Any] | list[Any] | bytes]
    """What lies in them: JSON, or the bytes of a `data:` URL."""
    example: bool = False
    """Whether the fields change the system's example, which has its files."""
    result_only: bool = False
    """Whether the picture itself is all that is wanted of a result."""

    @property
    def whole(self) -> bool:
        """Whether all of it is JSON: then reading it is quick, and needs no library that could fall over."""
        return not any(isinstance(content, bytes) for content in self.files.values())


def asked_of(kind: JobKind, said: object, example: bool, limits: Limits) -> Asked:
    """What a request says, by the names of a system; nulls are as if they were not said.

    Raises:
        RequestError: it is no object, has a name that the system does not know, lacks one, or is too long.
    """
    if not isinstance(said, dict):
        raise RequestError(f"request: expected an object, got {_kind(said)}")
    values = {name: value for name, value in said.items() if value is not None}
    names = [name for name in (kind.fields.model_fields if example else kind.names) if name != "id"]
    if unknown := [name for name in values if name not in names]:
        beside = "; the example has files of its own" if example and unknown[0] in kind.every_file else ""
        raise RequestError(f"{unknown[0][:60]!a}: no such field; expected one of {', '.join(names)}{beside}")
    if missing := [name for name in (() if example else kind.required) if name not in values]:
        raise RequestError(f"{missing[0]}: expected one, got none")
    named = [] if example else [name for name in kind.every_file if name in values]
    files = {name: content_of(name, values.pop(name), limits) for name in named}
    limits.check_fields(values)
    return Asked(values, files, example)


def content_of(name: str, value: object, limits: Limits) -> dict[str, Any] | list[Any] | bytes:
    """What lies in a file: as it is, or the bytes of a `data:` URL.

    Raises:
        RequestError: it is neither, or too much.
    """
    if isinstance(value, dict | list):
        limits.check_numbers(name, value)
        return value
    head = _DATA.match(value) if isinstance(value, str) else None
    if not isinstance(value, str) or head is None:
        raise RequestError(
            f"{name}: expected what is in a file, as JSON or as a data: URL in base64, got {_kind(value)}; "
            "a server opens no files of its own for a request"
        )
    try:
        return base64.b64decode(value[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(f"{name}: expected base64 behind 'base64,', got something else") from None


def request_of(told: SystemModule, asked: Asked) -> Request:
    """What a model is asked.

    Raises:
        UserError: a file cannot be read, or a field is out of its range.
    """
    kind = told.JOBS
    if asked.example:
        return _changed_example(told, asked.fields)
    fields = job_fields(kind, asked.fields)
    with TemporaryDirectory(prefix="handfirst-") as folder:
        files: dict[str, Content] = {}
        for name, content in asked.files.items():
            if isinstance(content, bytes):
                files[name] = Path(folder) / name
                (Path(folder) / name).write_bytes(content)
            else:
                files[name] = content
        try:
            return kind.request(fields, files)
        except UserError as error:
            raise RequestError(_without(folder, str(error), kind)) from error


def _changed_example(told: SystemModule, said: Mapping[str, Any]) -> Request:
    """The example with some of its fields changed; what a job must say and nobody did is the example's."""
    original, fields = told.example(), told.JOBS.fields.model_fields
    given = {name: getattr(original, name) for name, each in fields.items() if each.is_required()}
    checked = job_fields(told.JOBS, {**given, **said}).model_dump(include=set(said))
    try:
        return told.example(**checked)
    except TypeError:
        raise RequestError(f"example: cannot be changed in {' and '.join(said)}; ask with files of your own") from None


def check_fit(told: SystemModule, settings: Any, request: Request, limits: Limits) -> None:
    """Raises a UserError where a request does not fit the model, or is more work than the server takes."""
    limits.check_work(told.work(request, settings))
    told.together(request, settings)


def _without(folder: str, message: str, kind: JobKind) -> str:
    """A message without the place where a file lay; options of the command line become fields."""
    text = message.replace(f"{folder}/", "").replace(str(Path(folder) / ""), "").replace(folder, "")
    return _OPTION.sub(lambda found: found[1] if found[1].replace("-", "_") in kind.names else found[0], text)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
