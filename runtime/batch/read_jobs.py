"""Files of jobs -> jobs: names are given, contents are told apart, and what makes no sense is a failed job of its own.

Files that jobs name are read for their digest only, each once. Knows nothing about models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from handfirst.engines.files import sha256
from handfirst.runtime.batch.job import BadJob, Job, content_key, digest, job_fields, job_id
from handfirst.runtime.batch.records import BadRecord, Record, read_folder, read_json, read_json_lines
from handfirst.runtime.batch.tables import read_csv, read_parquet
from handfirst.runtime.errors import BatchError, JobError
from handfirst.runtime.pose.read import LARGEST_FILE
from handfirst.runtime.system import Content, JobKind

READERS: Mapping[str, Callable[[JobKind, Path], Iterator[Record | BadRecord]]] = {
    ".jsonl": lambda _, path: read_json_lines(path),
    ".ndjson": lambda _, path: read_json_lines(path),
    ".json": lambda _, path: read_json(path),
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}
"""By the ending of a file's name."""
NAME_DIGITS = 12
"""Hex digits of the key in the name of a job that has none of its own."""


def read_jobs(
    kind: JobKind, path: Path, prompts: Path | None = None, defaults: Mapping[str, object] | None = None
) -> list[Job | BadJob]:
    """All jobs of a file, or of a folder of poses x a file of prompts, in their order.

    Args:
        kind: what a job may say.
        path: a file that ends in one of READERS, or a folder of pose files; the files of jobs are found relative to it.
        prompts: for a folder: a text file with a prompt on every line.
        defaults: fields for jobs that do not say them.

    Raises:
        BatchError: the file cannot be read at all. A job that makes no sense is a BadJob and hurts no other.
    """
    folder = path if path.is_dir() else path.parent
    read = _reader(kind, path, prompts)
    try:
        jobs = list(_Maker(kind, folder, defaults or {}).jobs(read()))
    except OSError as error:
        raise BatchError(f"'{error.filename or path}' cannot be read ({error.strerror or error})") from error
    if not jobs:
        raise BatchError(f"'{path}': expected jobs, found none")
    return jobs


def _reader(kind: JobKind, path: Path, prompts: Path | None) -> Callable[[], Iterator[Record | BadRecord]]:
    """What reads the file or folder.

    Raises:
        BatchError: nothing can.
    """
    if path.is_dir() != (prompts is not None):
        raise BatchError(
            f"'{path}' is a folder of poses; add --prompts FILE with a prompt on every line"
            if prompts is None
            else f"--prompts goes with a folder of poses, but '{path}' is none; jobs in a file have their own prompts"
        )
    ending = path.suffix.lower()
    if prompts is None and ending in (".xlsx", ".xls", ".ods"):
        raise BatchError(f"'{path}' is a spreadsheet; save it as CSV in UTF-8, and give that")
    if prompts is None and ending not in READERS:
        raise BatchError(f"expected a folder or a file that ends in {', '.join(READERS)}, got '{path}'")
    listed = prompts or path
    if listed.exists() and not listed.is_file():  # a device or a pipe could be read for ever
        raise BatchError(f"'{listed}' cannot be read (it is no plain file); write what it holds into one")
    return partial(READERS[ending], kind, path) if prompts is None else partial(read_folder, kind, path, prompts)


class _Maker:
    """Jobs of one file: what they share, and the digests of files that were read."""

    def __init__(self, kind: JobKind, folder: Path, defaults: Mapping[str, object]) -> None:
        self._kind, self._folder, self._defaults = kind, folder, defaults
        self._digests: dict[Path, str] = {}

    def jobs(self, records: Iterable[Record | BadRecord]) -> Iterator[Job | BadJob]:
        """A job for every record; of two with the same name the second is a BadJob."""
        taken: dict[str, int] = {}  # in lower case, as some disks do not tell "A.png" from "a.png"
        for record in records:
            job = _bad(record.line, record.reason) if isinstance(record, BadRecord) else self._job(record)
            first = taken.setdefault(job.id.lower(), record.line)
            if first != record.line:
                named = isinstance(record, Record) and "id" in record.values
                says = f"id: '{job.id}' is that of line {first}" if named else f"the same job as line {first}"
                job = _bad(record.line, f"{says}; give it another {'id' if named else 'seed'}")
            yield job

    def _job(self, record: Record) -> Job | BadJob:
        name = None
        try:
            if "id" in record.values:
                name = job_id(record.values["id"])
            return self._good(record, name)
        except JobError as error:
            return _bad(record.line, str(error), name)

    def _good(self, record: Record, name: str | None) -> Job:
        kind, values = self._kind, record.values
        unknown = sorted(set(values) - set(kind.names))
        if unknown:
            raise JobError(f"unknown field {ascii(unknown[0])[:60]}; a job has {', '.join(kind.names)}")
        named = (*kind.files, *(file for file in kind.optional if file in values))
        found = {file: self._content(file, values.get(file)) for file in named}
        said = {key: value for key, value in values.items() if key not in ("id", *kind.every_file)}
        fields = job_fields(kind, {**self._defaults, **said})
        key = content_key({file: content_digest for file, (_, content_digest) in found.items()}, fields)
        files = {file: content for file, (content, _) in found.items()}
        stems = [content.stem for content in files.values() if isinstance(content, Path)]
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", stems[0])[:40].strip("-_") if stems else ""
        return Job(name or f"{stem or 'job'}-{key[:NAME_DIGITS]}", key, record.line, kind, files, fields)

    def _content(self, file: str, value: object) -> tuple[Content, str]:
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
        path = self._folder / value
        if path not in self._digests:
            self._digests[path] = _file_digest(file, path, value)
        return path, self._digests[path]


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
