"""The append-only list of jobs that are over: a job is done exactly when its line is whole and on the disk.

A picture has its name before its line is written, and both are on the disk before the next jobs are begun. So a kill or
a power cut loses at most the work under way: a picture without a line is painted again over itself, and half a line is
cut off. The last line of a name counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from handfirst.engines.files import durable_write_bytes, sha256, sync_folder
from handfirst.runtime.batch.job import BadJob, Job
from handfirst.runtime.batch.outcome import Done, Failed, Outcome
from handfirst.runtime.errors import BatchError

LEDGER = "results.jsonl"
DONE, FAILED, CHANGED = "done", "failed", "changed"


@dataclass(frozen=True)
class _Entry:
    key: str
    status: str
    files: tuple[str, ...]


class Ledger:
    """An opened ledger; pictures lie beside it. One at a time may be open (results.py).

    Args:
        path: of the file; made if it is not there, and its torn end cut off.

    Raises:
        BatchError: a line that is not the last cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = path.parent
        self._last, length = _read(path)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(self._file, length)
        os.fsync(self._file)
        sync_folder(self._folder)
        self._here = {entry.name for entry in os.scandir(self._folder)}

    def status(self, job: Job | BadJob) -> str | None:
        """DONE with its pictures still there, FAILED, or None: there is work to do."""
        entry = self._last.get(job.id)
        if entry is None or entry.key != job.key or entry.status == CHANGED:
            return None
        return entry.status if all(name in self._here for name in entry.files) else None

    def begin(self, jobs: Sequence[Job | BadJob]) -> None:
        """Names that meant another job until now: from here on, their old lines count no more."""
        known = [(job, self._last[job.id]) for job in jobs if job.id in self._last]
        changed = [job for job, entry in known if entry.key != job.key and entry.status != FAILED]
        self._append([{"id": job.id, "key": job.key, "status": CHANGED, "line": job.line} for job in changed])

    def add(self, outcomes: Sequence[Outcome], suffix: str) -> None:
        """Jobs that are over: their pictures first, then their lines. When it returns, both are on the disk.

        Raises:
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
            self._here.update(line.get("files", ()))

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
        return {**head, "reason": outcome.reason}
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


def _read(path: Path) -> tuple[dict[str, _Entry], int]:
    """The last line of every name, and how many bytes of the file are whole lines."""
    last: dict[str, _Entry] = {}
    length = 0
    if not path.exists():
        return last, length
    with path.open("rb") as file:
        for number, data in enumerate(file, 1):
            try:
                line = json.loads(data)
                entry = _entry(line)
            except (ValueError, TypeError, KeyError) as error:
                if file.read(1):
                    raise BatchError(f"'{path}': line {number} is damaged; remove it and run again") from error
                break
            if not data.endswith(b"\n"):
                break
            last[line["id"]] = entry
            length += len(data)
    return last, length


def _entry(line: dict[str, Any]) -> _Entry:
    if not isinstance(line["id"], str):
        raise TypeError("id")
    return _Entry(str(line["key"]), str(line["status"]), tuple(map(str, line.get("files", ()))))
