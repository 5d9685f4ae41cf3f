"""A folder of results as its owner sees it: nobody else writes into it, and all of its pictures are of one model.

batch.json       what all pictures share
results.jsonl    a line for every job that is over (ledger.py)
NAME.png         the pictures
.lock            held by the run that is going on, as is the folder itself where the system can hold folders, so that
                 nothing depends on a file that cleaners delete; the system lets go of both when that run dies
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from handfirst.engines.files import durable_write_bytes, leftovers, sync_folder
from handfirst.runtime.batch.ledger import LEDGER, Ledger
from handfirst.runtime.errors import BatchError

SHARED = "batch.json"
LOCK = ".lock"


@contextmanager
def open_results(folder: Path, shared: Mapping[str, str]) -> Iterator[Ledger]:
    """The ledger of a folder that is new, empty, or filled by runs like this one; what a killed one left is removed.

    Args:
        folder: made if it is not there.
        shared: what all of its pictures have in common: the model's digest, the format, ...

    Raises:
        BatchError: it holds other things, other pictures, or another run is at work in it.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / SHARED).exists() and any(p.name != LOCK and p not in leftovers(folder) for p in folder.iterdir()):
        raise BatchError(f"'{folder}' holds files that no batch has written; choose a new or an empty folder")
    try:
        with FileLock(_plain(folder / LOCK), timeout=0), _held(folder):
            for path in leftovers(folder):
                path.unlink()
            _agree(folder, shared)
            with Ledger(folder / LEDGER) as ledger:
                yield ledger
    except Timeout as error:
        raise BatchError(f"another run is at work in '{folder}'; wait for it, or choose another folder") from error


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The folder for one run alone; nothing where the system or the file system cannot.

    Raises:
        Timeout: another run has it.
    """
    from filelock import Timeout

    try:
        import fcntl
    except ImportError:  # Windows lets nobody delete a lock that is held
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise Timeout(str(folder)) from error
        yield
    finally:
        os.close(handle)


def _plain(path: Path) -> Path:
    """`path`, which is a file of one name or not there: who writes through a link does harm, who reads a pipe waits.

    Raises:
        BatchError: it is something else.
    """
    if path.is_symlink() or (path.exists() and not (path.is_file() and path.stat().st_nlink <= 1)):
        raise BatchError(f"'{path}': expected a plain file, got something else; move it away, or choose another folder")
    return path


def _agree(folder: Path, shared: Mapping[str, str]) -> None:
    """Writes what the pictures share, or looks that it still holds."""
    path = _plain(folder / SHARED)
    if not path.exists():
        durable_write_bytes(path, (json.dumps(shared, indent=1) + "\n").encode())
        sync_folder(folder)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BatchError(f"'{path}' is damaged; choose another folder")
    for name, value in shared.items():
        if found.get(name) != value:
            raise BatchError(
                f"'{folder}' holds pictures with {name} {found.get(name)!s:.80}, and this run has {value:.80}; "
                "choose another folder"
            )
