"""A folder of this process's own, for libraries that read weights by path: files are copied while their hash is taken.

Nothing but this user's programs can reach it, so what was checked is what is read, whatever becomes of the original
meanwhile. A file that lies there need not be in memory as well: its bytes are mapped, and take memory only while they
are looked at. It needs room where temporary files go (TMPDIR). Knows nothing about bundles or graphs.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import BinaryIO

Bytes = bytes | mmap.mmap
"""What has a length, slices that are bytes, and a buffer."""

PIECE = 1 << 24
"""Bytes that are copied at a time."""


class Folder:
    """Where files lie for libraries that read them by path.

    Args:
        path: of somebody else, who sees to it that its files stay as they are; None: a private one, which goes when it
            is closed or forgotten.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or Path(tempfile.mkdtemp(prefix="handfirst-"))
        self._remove = None if path else weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    @property
    def private(self) -> bool:
        """Whether it is this process's own."""
        return self._remove is not None

    def copy(self, source: BinaryIO, name: str) -> str:
        """Copies what is left of a file into it. Returns the SHA-256 of the very bytes that were written.

        Raises:
            OSError: there is no room.
        """
        digest = hashlib.sha256()
        with (self.path / name).open("xb") as target:
            while piece := source.read(PIECE):
                digest.update(piece)
                target.write(piece)
        return digest.hexdigest()

    def bytes(self, name: str) -> Bytes:
        """The bytes of one of its files, mapped where a mapped file can still be deleted; they outlive the folder."""
        return mapped(self.path / name)

    def close(self) -> None:
        """Removes it, if it is private."""
        if self._remove is not None:
            self._remove()


def mapped(file: Path) -> Bytes:
    """A file's bytes, mapped read-only; read, where mapped files cannot be deleted, or where there are none."""
    if os.name != "posix" or not file.stat().st_size:
        return file.read_bytes()
    with file.open("rb") as opened:
        return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
