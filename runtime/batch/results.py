"""A folder of results as its owner sees it: nobody else writes into it, and all of its pictures are of one model.

batch.json       what all pictures share
results.jsonl    a line for every job that is over (ledger.py)
NAME.png         the pictures
.lock            held by the run that is going on; the system lets go of it when that run dies
"""

from __future__ import annotations

import json
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
        with FileLock(folder / LOCK, timeout=0):
            for path in leftovers(folder):
                path.unlink()
            _agree(folder, shared)
            with Ledger(folder / LEDGER) as ledger:
                yield ledger
    except Timeout as error:
        raise BatchError(f"another run is at work in '{folder}'; wait for it, or choose another folder") from error


def _agree(folder: Path, shared: Mapping[str, str]) -> None:
    """Writes what the pictures share, or looks that it still holds."""
    path = folder / SHARED
    if not path.exists():
        durable_write_bytes(path, (json.dumps(shared, indent=1) + "\n").encode())
        sync_folder(folder)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BatchError(f"'{path}' is damaged; choose another folder")
    for name, value in shared.items():
        if found.get(name) != value:
            raise BatchError(
                f"'{folder}' holds pictures with {name} {found.get(name)!s:.80}, and this run has {value:.80}; "
                "choose another folder"
            )
