"""Shards, tars in WebDataset's manner: written so that nobody sees half of one, indexed, and read at any place.

Equal examples give equal bytes. Streaming shards shuffle in a buffer and cannot be resumed exactly; an index can: every
shard is indexed once, then any example is one read away. Knows nothing about what an example is for, nor about the
order in which examples are asked for.
"""

from __future__ import annotations

import io
import os
import secrets
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path
from handfirst.training.data.example import MEMBERS, Example, decode, is_further

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


@dataclass(frozen=True, eq=False)
class Shards:
    """N examples in tar files. Small and picklable; files are opened when they are read.

    Attributes:
        files: the shards, by name.
        keys: str [N], in the order in which they lie in the files.
        shard: int32 [N], index into `files`.
        span: int64 [N, M, 2], offset and size of each of `members` in its file, in bytes; size -1: it is not there.
        members: what the M columns of `span` are about: MEMBERS, then those that some examples have beside them.
    """

    files: tuple[Path, ...]
    keys: NDArray[np.str_]
    shard: NDArray[np.int32]
    span: NDArray[np.int64]
    members: tuple[str, ...] = MEMBERS

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> Example:
        """One example.

        Raises:
            UserError: it is damaged; says which one, in which shard.
        """
        file, key = self.files[int(self.shard[index])], str(self.keys[index])
        try:
            with file.open("rb") as tar:
                members = {}
                for name, (offset, size) in zip(self.members, self.span[index].tolist(), strict=True):
                    if size >= 0:
                        tar.seek(offset)
                        members[name] = tar.read(size)
            return decode(key, members)
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"{file}: cannot read the example {key!r}: {reason}; prepare this shard again") from error

    def sizes(self) -> NDArray[np.int64]:
        """Width and height of every example, int64 [N, 2], from the first bytes of its mask.

        Raises:
            UserError: it is damaged; says which one, in which shard.
        """
        out = np.zeros((len(self), 2), np.int64)
        for number, file in enumerate(self.files):
            rows = np.flatnonzero(self.shard == number)
            with file.open("rb") as tar:
                for row in rows.tolist():
                    tar.seek(int(self.span[row, self.members.index("mask.png"), 0]))
                    head = tar.read(24)
                    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 24:
                        raise UserError(f"{file}: {self.keys[row]!s:.200} has no mask; prepare this shard again")
                    out[row] = np.frombuffer(head[16:], ">u4")
        return out

    def chosen(self, picks: NDArray[np.bool_]) -> Shards:
        """The examples where `picks`, bool [N], is True."""
        return Shards(self.files, self.keys[picks], self.shard[picks], self.span[picks], self.members)

    def with_members(self, members: tuple[str, ...]) -> Shards:
        """The same with these columns, of which its own are a part."""
        span = np.full((len(self), len(members), 2), -1, np.int64)
        span[:, [members.index(name) for name in self.members]] = self.span
        return Shards(self.files, self.keys, self.shard, span, members)


def find_shards(folder: Path) -> tuple[Path, ...]:
    """The tar files of a folder and of the folders in it, by name; or the one file that was given.

    Raises:
        UserError: there are none.
    """
    files = (folder,) if folder.is_file() else tuple(sorted(folder.rglob("*.tar")))
    if not files:
        raise UserError(f"{folder}: expected shards (*.tar), found none; 'handfirst data --help' makes them")
    return files


def open_shards(folder: Path, cache: Path) -> Shards:
    """The index of a folder's shards; kept in `cache`, and made again when a shard changed its size or its time.

    Raises:
        UserError: no shards, a file that is no tar, or one that holds no examples.
    """
    files = find_shards(folder)
    state = "\n".join(f"{file.absolute()} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)
    kept = cache / f"index-{zlib.crc32(state.encode()):08x}.npz"
    if kept.is_file():
        with np.load(kept) as tables:
            if str(tables["state"]) == state and "members" in tables:
                members = tuple(str(name) for name in tables["members"])
                return Shards(files, tables["keys"], tables["shard"], tables["span"], members)
    shards = index_shards(files)
    cache.mkdir(parents=True, exist_ok=True)
    with atomic_path(kept) as temporary, temporary.open("wb") as out:
        np.savez(
            out, state=np.array(state), keys=shards.keys, shard=shards.shard, span=shards.span,
            members=np.array(shards.members),
        )  # fmt: skip
    return shards


def index_shards(files: Sequence[Path]) -> Shards:
    """Reads the headers of all files; an example without all of its members is an error."""
    keys: list[str] = []
    shard: list[int] = []
    found: list[dict[str, tuple[int, int]]] = []
    for number, file in enumerate(files):
        for key, members in _members(file).items():
            if missing := [name for name in MEMBERS if name not in members]:
                raise UserError(f"{file}: the example {key!r} has no {missing[0]}; prepare this shard again")
            keys.append(key)
            shard.append(number)
            found.append(members)
    if not keys:
        raise UserError(f"{files[0]}: expected examples (KEY.{MEMBERS[0]}, ...), found none")
    names = (*MEMBERS, *sorted({name for members in found for name in members} - set(MEMBERS)))
    spans = [[members.get(name, (0, -1)) for name in names] for members in found]
    return Shards(tuple(files), np.array(keys), np.array(shard, np.int32), np.array(spans, np.int64), names)


def joined(parts: Sequence[Shards]) -> Shards:
    """One after the other."""
    names = (*MEMBERS, *sorted({name for shards in parts for name in shards.members} - set(MEMBERS)))
    starts = np.cumsum([0, *(len(shards.files) for shards in parts)])
    return Shards(
        tuple(file for shards in parts for file in shards.files),
        np.concatenate([shards.keys for shards in parts]),
        np.concatenate([shards.shard + start for shards, start in zip(parts, starts, strict=False)]),
        np.concatenate([shards.with_members(names).span for shards in parts]),
        names,
    )


def _members(file: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """key -> member -> (offset, size), from the headers alone. A key ends at the first dot of the file's own name."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                folder, slash, name = member.name.rpartition("/")
                key, _, kind = name.partition(".")
                if member.isfile() and (kind in MEMBERS or is_further(kind)):
                    found.setdefault(folder + slash + key, {})[kind] = (member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"{file}: expected an uncompressed tar file ({error})") from error
    return found


def split(shards: Shards, share: float) -> tuple[Shards, Shards]:
    """(to train on, held out): by a hash of the key, so that an example stays on its side whatever is added.

    Args:
        share: of the examples that is held out, in (0, 1); at least one example lands on either side.

    Raises:
        UserError: a single example cannot be split.
    """
    if len(shards) < 2:
        raise UserError(f"{shards.files[0]}: expected at least 2 examples to train and validate on, got {len(shards)}")
    hashes = np.array([zlib.crc32(str(key).encode()) for key in shards.keys], np.float64) / 2**32
    held = hashes < share
    held[int(hashes.argmin())] = True
    held[int(hashes.argmax())] = False
    return shards.chosen(~held), shards.chosen(held)
