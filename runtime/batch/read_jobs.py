"""Rows -> jobs: names are given, contents are told apart, and what makes no sense becomes a failed job of its own.

Pose files are read for their digest only, each once. Knows nothing about models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from handfirst.engines.files import sha256
from handfirst.runtime.batch.job import NAMES, BadJob, Job, content_key, digest, job_fields, job_id
from handfirst.runtime.batch.rows import BadRow, Row, read_rows
from handfirst.runtime.errors import JobError
from handfirst.runtime.pose.read import LARGEST_FILE

NAME_DIGITS = 12
"""Hex digits of the key in the name of a job that has none of its own."""


def read_jobs(
    path: Path, prompts: Path | None = None, defaults: Mapping[str, object] | None = None
) -> list[Job | BadJob]:
    """All jobs of a file, or of a folder of poses x a file of prompts, in their order.

    Args:
        path: see rows.py; pose files are found relative to it.
        prompts: for a folder of poses.
        defaults: fields for jobs that do not say them.

    Raises:
        BatchError: the file cannot be read at all. A job that makes no sense is a BadJob and hurts no other.
    """
    folder = path if path.is_dir() else path.parent
    return collect(read_rows(path, prompts), folder, defaults or {})


def collect(rows: Iterable[Row | BadRow], folder: Path, defaults: Mapping[str, object]) -> list[Job | BadJob]:
    """Rows as jobs; of two with the same name the second is a BadJob."""
    digests: dict[Path, str] = {}
    taken: dict[str, int] = {}  # in lower case, as some disks do not tell "A.png" from "a.png"
    jobs: list[Job | BadJob] = []
    for row in rows:
        job = _bad(row.line, row.reason) if isinstance(row, BadRow) else _job(row, folder, defaults, digests)
        first = taken.setdefault(job.id.lower(), row.line)
        if first != row.line:
            named = isinstance(row, Row) and "id" in row.values
            says = f"id: '{job.id}' is that of line {first}" if named else f"the same job as line {first}"
            job = _bad(row.line, f"{says}; give it another {'id' if named else 'seed'}")
        jobs.append(job)
    return jobs


def _job(row: Row, folder: Path, defaults: Mapping[str, object], digests: dict[Path, str]) -> Job | BadJob:
    name = None
    try:
        if "id" in row.values:
            name = job_id(row.values["id"])
        return _good(row, name, folder, defaults, digests)
    except JobError as error:
        return _bad(row.line, str(error), name)


def _good(row: Row, name: str | None, folder: Path, defaults: Mapping[str, object], digests: dict[Path, str]) -> Job:
    unknown = sorted(set(row.values) - set(NAMES))
    if unknown:
        raise JobError(f"unknown field {ascii(unknown[0])[:60]}; a job has {', '.join(NAMES)}")
    pose, pose_digest = _pose(row.values.get("pose"), folder, digests)
    said = {key: value for key, value in row.values.items() if key not in ("id", "pose")}
    fields = job_fields({**defaults, **said})
    key = content_key(pose_digest, fields)
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", pose.stem)[:40].strip("-_") if isinstance(pose, Path) else ""
    return Job(name or f"{stem or 'job'}-{key[:NAME_DIGITS]}", key, row.line, pose, fields)


def _pose(value: object, folder: Path, digests: dict[Path, str]) -> tuple[Path | dict[str, Any] | list[Any], str]:
    """Where the pose is, or what it is, and the digest of its content."""
    if isinstance(value, dict | list):
        try:
            return value, digest(json.dumps(value, sort_keys=True))
        except (TypeError, ValueError, RecursionError) as error:
            raise JobError(f"pose: expected what a pose file holds, got something else ({str(error)[:80]})") from None
    if not isinstance(value, str):
        came = "none" if value is None else type(value).__name__
        raise JobError(f"pose: expected the path of a pose file, or what is in one, got {came}")
    path = folder / value
    if path not in digests:
        digests[path] = _file_digest(path, value)
    return path, digests[path]


def _file_digest(path: Path, name: str) -> str:
    try:
        if not path.is_file():  # a device or a pipe could be read for ever
            raise JobError(f"pose: {name!a:.200} is no file; paths start at the folder of the jobs")
        if path.stat().st_size > LARGEST_FILE:
            raise JobError(f"pose: {name!a:.200} is larger than {LARGEST_FILE >> 20} MB; it is no pose")
        return sha256(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise JobError(f"pose: {name!a:.200} cannot be read ({reason})") from None


def _bad(line: int, reason: str, name: str | None = None) -> BadJob:
    return BadJob(name or f"line {line}", digest(reason), line, reason)
