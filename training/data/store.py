"""Bytes by their keys, in one file: what was computed once and is not to be computed again.

A key is a hash of everything that the bytes follow from, so that nothing in a store is ever stale. SQLite keeps it:
many processes read, and whatever a killed one had not finished writing is not there. One process writes at a time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from handfirst.engines.errors import UserError

PATIENCE = 60.0
"""Seconds to wait for another process that writes."""


@dataclass(frozen=True)
class Store:
    """Small and picklable; every process opens the file for itself.

    Attributes:
        path: of the file; made by the first `put`.
    """

    path: Path

    def get(self, key: bytes) -> bytes | None:
        """The bytes of a key, None if there are none.

        Raises:
            UserError: the file is damaged.
        """
        if not self.path.exists():
            return None
        with self._told():
            row = _opened(self.path, os.getpid()).execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Adds all of them or, if this process is killed meanwhile, none; what a key has already stays.

        Raises:
            UserError: the file is damaged, or somebody else writes all the time.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._told(), (connection := _opened(self.path, os.getpid())):
            connection.executemany("INSERT OR IGNORE INTO kept VALUES (?, ?)", values.items())

    def __len__(self) -> int:
        if not self.path.exists():
            return 0
        with self._told():
            return int(_opened(self.path, os.getpid()).execute("SELECT count(*) FROM kept").fetchone()[0])

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UserError(
                f"{self.path}: cannot be used ({error}); remove it, and what it held is made again"
            ) from error


def key_of(*parts: bytes) -> bytes:
    """16 bytes that follow from the parts and where each of them ends."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


@lru_cache(maxsize=8)
def _opened(path: Path, process: int) -> sqlite3.Connection:
    """Connections must not be shared with forked processes: `process` is the own number."""
    connection = sqlite3.connect(path, timeout=PATIENCE)
    connection.execute("CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
    return connection
