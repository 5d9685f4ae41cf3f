"""Rows -> jobs: names are given, contents are told apart, and what makes no sense becomes a failed job of its own.

Their files are read for their digest only, each once. Knows nothing about models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from handfirst.engines.files import sha256
from handfirst.runtime.batch.job import BadJob, Job, content_key, digest, job_fields, job_id
from handfirst.runtime.batch.rows import BadRow, Row, read_rows
from handfirst.runtime.errors import JobError
from handfirst.runtime.pose.read import LARGEST_FILE
from handfirst.runtime.system import Content, JobKind

NAME_DIGITS = 12
"""Hex digits of the key in the name of a job that has none of its own."""


def read_jobs(
    kind: JobKind, path: Path, prompts: Path | None = None, defaults: Mapping[str, object] | None = None
) -> list[Job | BadJob]:
    """All jobs of a file, or of a folder of poses x a file of prompts, in their order.

    Args:
        kind: what a job may say.
        path: see rows.py; the files of jobs are found relative to it.
        prompts: for a folder of poses.
        defaults: fields for jobs that do not say them.

    Raises:
        BatchError: the file cannot be read at all. A job that makes no sense is a BadJob and hurts no other.
    """
    folder = path if path.is_dir() else path.parent
    return collect(kind, read_rows(kind, path, prompts), folder, defaults or {})


def collect(
    kind: JobKind, rows: Iterable[Row | BadRow], folder: Path, defaults: Mapping[str, object]
) -> list[Job | BadJob]:
    """Rows as jobs; of two with the same name the second is a BadJob."""
    digests: dict[Path, str] = {}
    taken: dict[str, int] = {}  # in lower case, as some disks do not tell "A.png" from "a.png"
    jobs: list[Job | BadJob] = []
    for row in rows:
        job = _bad(row.line, row.reason) if isinstance(row, BadRow) else _job(kind, row, folder, defaults, digests)
        first = taken.setdefault(job.id.lower(), row.line)
        if first != row.line:
            named = isinstance(row, Row) and "id" in row.values
            says = f"id: '{job.id}' is that of line {first}" if named else f"the same job as line {first}"
            job = _bad(row.line, f"{says}; give it another {'id' if named else 'seed'}")
        jobs.append(job)
    return jobs


def _job(
    kind: JobKind, row: Row, folder: Path, defaults: Mapping[str, object], digests: dict[Path, str]
) -> Job | BadJob:
    name = None
    try:
        if "id" in row.values:
            name = job_id(row.values["id"])
        return _good(kind, row, name, folder, defaults, digests)
    except JobError as error:
        return _bad(row.line, str(error), name)


def _good(
    kind: JobKind,
    row: Row,
    name: str | None,
    folder: Path,
    defaults: Mapping[str, object],
    digests: dict[Path, str],
) -> Job:
    unknown = sorted(set(row.values) - set(kind.names))
    if unknown:
        raise JobError(f"unknown field {ascii(unknown[0])[:60]}; a job has {', '.join(kind.names)}")
    found = {file: _content(file, row.values.get(file), folder, digests) for file in kind.files}
    said = {key: value for key, value in row.values.items() if key not in ("id", *kind.files)}
    fields = job_fields(kind, {**defaults, **said})
    key = content_key({file: content_digest for file, (_, content_digest) in found.items()}, fields)
    files = {file: content for file, (content, _) in found.items()}
    stems = [content.stem for content in files.values() if isinstance(content, Path)]
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", stems[0])[:40].strip("-_") if stems else ""
    return Job(name or f"{stem or 'job'}-{key[:NAME_DIGITS]}", key, row.line, kind, files, fields)


def _content(file: str, value: object, folder: Path, digests: dict[Path, str]) -> tuple[Content, str]:
    """Where a file is, or what is in it, and the digest of its content."""
    if isinstance(value, dict | list):
        try:
            return value, digest(json.dumps(value, sort_keys=True))
        except (TypeError, ValueError, RecursionError) as error:
            raise JobError(
                f"{file}: expected what a {file} file holds, got something else ({str(error)[:80]})"
            ) from None
    if not isinstance(value, str):
        came = "none" if value is None else type(value).__name__
        raise JobError(f"{file}: expected the path of a {file} file, or what is in one, got {came}")
    path = folder / value
    if path not in digests:
        digests[path] = _file_digest(file, path, value)
    return path, digests[path]


def _file_digest(file: str, path: Path, name: str) -> str:
    try:
        if not path.is_file():  # a device or a pipe could be read for ever
            raise JobError(f"{file}: {name!a:.200} is no file; paths start at the folder of the jobs")
        if path.stat().st_size > LARGEST_FILE:
            raise JobError(f"{file}: {name!a:.200} is larger than {LARGEST_FILE >> 20} MB; it is no {file}")
        return sha256(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise JobError(f"{file}: {name!a:.200} cannot be read ({reason})") from None


def _bad(line: int, reason: str, name: str | None = None) -> BadJob:
    return BadJob(name or f"line {line}", digest(reason), line, reason)
