"""A shard: a tar in WebDataset's manner. Equal examples give equal bytes, and nobody sees half of one.

Knows nothing about what the members hold.
"""

from __future__ import annotations

import io
import os
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_MTIME = 946684800  # 2000-01-01: the same bytes on every run


class ShardWriter:
    """Appends examples to an open tar."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.count = 0

    def write(self, key: str, members: Mapping[str, bytes]) -> None:
        """Appends one example: KEY.NAME for each of its members, in their order."""
        for name, content in members.items():
            info = tarfile.TarInfo(f"{key}.{name}")
            info.size, info.mtime, info.mode = len(content), _MTIME, 0o644
            self._tar.addfile(info, io.BytesIO(content))
        self.count += 1


@contextmanager
def new_shard(path: Path) -> Iterator[ShardWriter]:
    """A shard to fill; it gets its name when all went well. Until then nothing here ends in .tar."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        # PAX writes what USTAR would, and takes keys that are longer than its 100 characters
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            yield ShardWriter(tar)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of killed processes in `folder`; only for when nobody writes there."""
    for pattern in (".*.part", ".*.tmp*"):
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)


def read_shard(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and members of every example, in order.

    Raises:
        OSError, tarfile.TarError: it is missing or damaged.
    """
    key, members = "", dict[str, bytes]()
    with tarfile.open(path) as tar:
        for info in tar:
            here, _, name = info.name.partition(".")
            if members and here != key:
                yield key, members
                members = {}
            file = tar.extractfile(info)
            key, members[name] = here, file.read() if file else b""
    if members:
        yield key, members
