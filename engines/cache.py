"""A cache of what an engine library builds on this machine: compiled graphs that are slow to make and cheap to load.

What is kept is as good as executable code, so it is loaded only from a folder that nobody else can write to, and only
if every byte is as it was stored; anything else counts as absent and is built again. One file per entry: a line that
names the format, a line of JSON with the key and the blob's SHA-256, then the blob, so that they cannot come apart.
Knows nothing about the libraries, and never throws anything away by itself: `prune` does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from handfirst.engines.files import atomic_path, sha256

MAGIC = b"handfirst engine cache 1\n"
SUFFIX = ".engine"
MAX_HEADER = 1 << 16
FRESH = 3600.0
"""Seconds for which a temporary file may belong to a writer that is still at work."""

_NAME = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}")
_LEFTOVER = re.compile(rf"\.[0-9a-f]{{64}}{re.escape(SUFFIX)}\..*\.tmp{re.escape(SUFFIX)}")


@dataclass(frozen=True)
class Key:
    """What a built graph depends on; another value anywhere is another entry.

    Attributes:
        engine: "openvino", "tensorrt", ...
        graph: Graph.digest.
        library: the library and its version.
        device: the CPU's or GPU's name and driver.
        options: everything else that changes the result: static shapes, precision, flags.
    """

    engine: str
    graph: str
    library: str
    device: str
    options: str

    def digest(self) -> str:
        """SHA-256 of all fields, 64 hex characters."""
        return sha256(_canonical(asdict(self)))


@dataclass(frozen=True)
class Entry:
    """One file of the cache: its key, its size in bytes and when it was last used (seconds since 1970)."""

    path: Path
    key: Key
    size: int
    used: float


class EngineCache:
    """A folder of entries; processes and threads may share it.

    Args:
        folder: None: $HANDFIRST_CACHE, or handfirst/engines in the user's own cache folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else Path(folder)

    def load(self, key: Key) -> bytes | None:
        """The blob that was stored under `key`, byte for byte; None if there is none that can be trusted."""
        try:
            with self._open(key) as file:
                head = _read_head(file)
                blob = file.read()
                if head is None or head != _head(key, blob):
                    return None
                with suppress(OSError):
                    os.utime(file.fileno() if os.utime in os.supports_fd else self._path(key))
                return blob
        except OSError:
            return None

    def store(self, key: Key, blob: bytes) -> Path | None:
        """Keeps a blob in one step, in place of an older one; None if it cannot be kept (`problem` says why)."""
        path = self._path(key)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _distrust(self.folder.stat()):
                return None
            with atomic_path(path) as temporary:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
                with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                    file.write(_head(key, blob))
                    file.write(blob)
        except OSError:
            return None
        return path

    def problem(self) -> str | None:
        """Why nothing can be kept here, in one line with the remedy; None if all is well."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            distrust = _distrust(self.folder.stat())
        except OSError as error:
            return f"{self.folder}: cannot be made ({error.strerror}); set HANDFIRST_CACHE to a folder of your own"
        if distrust:
            return f"{self.folder}: {distrust}"
        if not os.access(self.folder, os.W_OK | os.X_OK):
            return f"{self.folder}: is read-only; set HANDFIRST_CACHE to a folder of your own"
        return None

    def entries(self) -> list[Entry]:
        """All of them, the latest used first. Only their first lines are read: `load` does the checking."""
        found = (_entry(path) for path in self._files(_NAME))
        return sorted((entry for entry in found if entry), key=lambda entry: (-entry.used, entry.path.name))

    def prune(self, max_bytes: int | None = None, older_than_days: float | None = None) -> list[Entry]:
        """Removes the least recently used entries, and what interrupted writers left behind.

        Args:
            max_bytes: keep at most that much.
            older_than_days: keep only what was used since. With neither argument everything goes.

        Returns:
            The entries that were removed.
        """
        everything = max_bytes is None and older_than_days is None
        now, room, removed = time.time(), max_bytes, []
        for entry in self.entries():
            stale = older_than_days is not None and now - entry.used > older_than_days * 86400
            full = room is not None and entry.size > room
            if everything or stale or full:
                removed += [entry] if _unlink(entry.path) else []
                room = -1 if full else room  # what was used before this one goes too, however small
            elif room is not None:
                room -= entry.size
        for path in self._leftovers(0 if everything else FRESH):
            _unlink(path)
        return removed

    def broken(self) -> list[Path]:
        """Files that can never load: torn, altered since they were stored, or of writers that were interrupted.

        Every byte of every entry is read.
        """
        return self._leftovers(FRESH) + [entry.path for entry in self.entries() if not _intact(entry)]

    def _path(self, key: Key) -> Path:
        return self.folder / f"{key.digest()}{SUFFIX}"

    @contextmanager
    def _open(self, key: Key) -> Iterator[BinaryIO]:
        """A plain file of our own in a folder of our own; an OSError for anything else.

        The file is opened relative to the folder that was looked at, so that nobody can exchange it in between.
        """
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        path = self._path(key)
        if os.open in os.supports_dir_fd:
            folder = os.open(self.folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
            try:
                _demand(os.fstat(folder))
                descriptor = os.open(path.name, flags, dir_fd=folder)
            finally:
                os.close(folder)
        else:
            descriptor = os.open(path, flags)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            _demand(status)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(f"{path}: not a plain file")
            yield file

    def _files(self, pattern: re.Pattern[str]) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if pattern.fullmatch(path.name)]
        except OSError:
            return []

    def _leftovers(self, patience: float) -> list[Path]:
        """Temporary files of at least that many seconds, and files with an entry's name that can never load."""
        torn = [path for path in self._files(_NAME) if _entry(path) is None]
        return torn + [path for path in self._files(_LEFTOVER) if time.time() - path.lstat().st_mtime >= patience]


def default_folder() -> Path:
    """$HANDFIRST_CACHE, else handfirst/engines in $XDG_CACHE_HOME, %LOCALAPPDATA% (Windows) or ~/.cache."""
    if own := os.environ.get("HANDFIRST_CACHE"):
        return Path(own)
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "handfirst" / "engines"


def _canonical(value: dict[str, object]) -> bytes:
    """Equal values give equal bytes, on one line."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _head(key: Key, blob: bytes) -> bytes:
    """The two lines in front of a blob; they follow from key and blob alone, so comparing them checks everything."""
    return _lines(key, sha256(blob), len(blob))


def _lines(key: Key, digest: str, size: int) -> bytes:
    return MAGIC + _canonical({"key": asdict(key), "sha256": digest, "size": size}) + b"\n"


def _read_head(file: BinaryIO) -> bytes | None:
    head = file.read(len(MAGIC)) + file.readline(MAX_HEADER)
    return head if head.startswith(MAGIC) and head.endswith(b"\n") else None


def _entry(path: Path) -> Entry | None:
    """What a file says it is; None if it is no entry, is not whole, or has another entry's name."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            return None
        with path.open("rb") as file:
            head = _read_head(file)
        fields = json.loads(head[len(MAGIC) :]) if head else {}
        key = Key(**fields["key"])
        plain = all(isinstance(text, str) for text in vars(key).values())
        size = fields["size"]  # compared as it stands: NaN, true and "5" are no sizes
        whole = head is not None and type(size) is int and status.st_size == len(head) + size
        named = plain and path.name == f"{key.digest()}{SUFFIX}"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return Entry(path, key, status.st_size, status.st_mtime) if whole and named else None


def _intact(entry: Entry) -> bool:
    """Whether every byte of its file is as it was stored."""
    try:
        with entry.path.open("rb") as file:
            head = _read_head(file)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return head is not None and head == _lines(entry.key, digest, entry.size - len(head))
    except OSError:
        return False


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _distrust(status: os.stat_result) -> str | None:
    """Why something cannot be trusted, and the remedy; only POSIX says who else may write."""
    if not hasattr(os, "geteuid"):
        return None
    if status.st_uid != os.geteuid():
        return "belongs to another user; set HANDFIRST_CACHE to a folder of your own"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write to it; run: chmod go-w on it, or set HANDFIRST_CACHE to a folder of your own"
    return None


def _demand(status: os.stat_result) -> None:
    if reason := _distrust(status):
        raise PermissionError(reason)
