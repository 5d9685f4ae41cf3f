"""The append-only list of jobs that are over: a job is done exactly when its line is whole and on the disk.

A picture has its name before its line is written, and both are on the disk before the next jobs are begun. So a kill or
a power cut loses at most the work under way: a picture without a line is painted again over itself, and half a line is
cut off. Nothing else is ever cut off: what cannot be read is an error. The last line of a name counts, as long as its
pictures are those that it tells the SHA-256 of.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from handfirst.engines.files import durable_write_bytes, sha256, sync_folder
from handfirst.runtime.batch.job import BadJob, Done, Failed, Job, Outcome
from handfirst.runtime.errors import BatchError

LEDGER = "results.jsonl"
DONE, FAILED, CHANGED = "done", "failed", "changed"
LONGEST_LINE = 16 << 20
_BEGINNING = b'{"id": "'
_FLAGS = ("O_APPEND", "O_CREAT", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")
"""A link is not followed, a pipe not waited for; where the system knows these."""


@dataclass(frozen=True)
class _Entry:
    key: str
    status: str
    files: tuple[str, ...]
    digests: tuple[str, ...]
    again: bool


class Ledger:
    """An opened ledger; pictures lie beside it. One at a time may be open (results.py).

    Args:
        path: of the file; made if it is not there, and its torn end cut off.

    Raises:
        BatchError: it is a link, a pipe or a folder, or a line cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spoilt: list[str] = []
        """Pictures that were found to be others than were painted, so far."""
        self._folder = path.parent
        self._file = _open(path)
        try:
            self._last, length = _read(self._file, path)
            os.ftruncate(self._file, length)
            os.fsync(self._file)
            sync_folder(self._folder)
        except BaseException:
            os.close(self._file)
            raise
        self._whole: dict[str, bool] = {}  # pictures that were looked at, or painted

    def status(self, job: Job | BadJob) -> str | None:
        """DONE with its pictures still there, FAILED, or None: there is work to do."""
        entry = self._last.get(job.id)
        if entry is None or entry.key != job.key or entry.status == CHANGED or entry.again:
            return None
        return entry.status if self._pictures_are_whole(entry) else None

    def _pictures_are_whole(self, entry: _Entry) -> bool:
        if len(entry.files) != len(entry.digests):
            return False
        for name, digest in zip(entry.files, entry.digests, strict=True):
            if name not in self._whole:
                self._whole[name] = _is_picture(self._folder / name, digest)
                if not self._whole[name] and os.path.lexists(self._folder / name):
                    self.spoilt.append(name)
        return all(self._whole[name] for name in entry.files)

    def begin(self, jobs: Sequence[Job | BadJob]) -> None:
        """Names that meant another job until now: from here on, their old lines count no more."""
        known = [(job, self._last[job.id]) for job in jobs if job.id in self._last]
        changed = [job for job, entry in known if entry.key != job.key and entry.status != FAILED]
        self._append([{"id": job.id, "key": job.key, "status": CHANGED, "line": job.line} for job in changed])

    def add(self, outcomes: Sequence[Outcome], suffix: str) -> None:
        """Jobs that are over: their pictures first, then their lines. When it returns, both are on the disk.

        Raises:
            BatchError: somebody has taken the ledger away meanwhile.
            OSError: they are not; the ledger is as it was.
        """
        done = [outcome for outcome in outcomes if isinstance(outcome, Done)]
        for outcome in done:
            durable_write_bytes(self._folder / f"{outcome.job.id}.{suffix}", outcome.painted.data)
        if done:
            sync_folder(self._folder)
        self._append([_line(outcome, suffix) for outcome in outcomes])

    def _append(self, lines: Sequence[dict[str, Any]]) -> None:
        if not lines:
            return
        if not self.path.exists() or not os.path.samestat(self.path.stat(), os.fstat(self._file)):
            raise BatchError(f"'{self.path}' was removed or replaced while the batch ran; bring it back and run again")
        data = memoryview("".join(json.dumps(line) + "\n" for line in lines).encode())
        length = os.fstat(self._file).st_size
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, length)  # half a line would spoil the one that follows it
            raise
        for line in lines:
            self._last[line["id"]] = _entry(line)
            self._whole |= dict.fromkeys(line.get("files", ()), True)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)


def _line(outcome: Outcome, suffix: str) -> dict[str, Any]:
    job = outcome.job
    head = {"id": job.id, "key": job.key, "status": DONE if isinstance(outcome, Done) else FAILED, "line": job.line}
    if isinstance(outcome, Failed):
        return {**head, "reason": outcome.reason} | ({"again": True} if outcome.again else {})
    painted = outcome.painted
    return {
        **head,
        "files": [f"{job.id}.{suffix}"],
        "sha256": [sha256(painted.data)],
        "seed": painted.seed,
        "prompt": outcome.job.fields.model_dump().get("prompt"),
        "seconds": {stage: round(seconds, 4) for stage, seconds in painted.seconds.items()},
        "batch": painted.batch,
        "warnings": list(painted.warnings),
    }


def _open(path: Path) -> int:
    """A handle of the file, to read and to append."""
    try:
        file = os.open(path, os.O_RDWR | sum(getattr(os, flag, 0) for flag in _FLAGS), 0o644)
    except OSError as error:
        raise BatchError(
            f"'{path}' cannot be opened as a plain file ({error.strerror}); move it away, or choose another folder"
        ) from error
    found = os.fstat(file)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
        return file
    os.close(file)
    kind = "a file of two names" if stat.S_ISREG(found.st_mode) else "none"
    raise BatchError(f"'{path}': expected a plain file, got {kind}; move it away, or choose another folder")


def _read(handle: int, path: Path) -> tuple[dict[str, _Entry], int]:
    """The last line of every name, and how many bytes of the file are whole lines."""
    last: dict[str, _Entry] = {}
    length = 0
    with open(handle, "rb", closefd=False) as file:
        for number, data in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
            if not data.endswith(b"\n") and len(data) < LONGEST_LINE and _is_torn(data):
                break
            if data.strip():
                last |= _entry_of(data, f"'{path}': line {number}")
            length += len(data)
    return last, length


def _is_torn(end: bytes) -> bool:
    """Whether this is what a kill or a power cut leaves of a line: its beginning, or zeros."""
    return end.startswith(_BEGINNING[: len(end)]) or not end.strip(b"\0")


def _entry_of(data: bytes, where: str) -> dict[str, _Entry]:
    try:
        line = json.loads(data)
        if not data.endswith(b"\n") or not isinstance(line["id"], str):
            raise ValueError
        return {line["id"]: _entry(line)}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BatchError(f"{where} is damaged; remove it and run again") from error


def _entry(line: dict[str, Any]) -> _Entry:
    files, digests = (tuple(map(str, line.get(name, ()))) for name in ("files", "sha256"))
    return _Entry(str(line["key"]), str(line["status"]), files, digests, line.get("again") is True)


def _is_picture(path: Path, digest: str) -> bool:
    """Whether these bytes are there."""
    try:
        if not path.is_file():  # a pipe could be read for ever
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == digest
    except (OSError, ValueError):
        return False
