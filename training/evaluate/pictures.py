"""Pictures that are read when they are needed: files of a folder, members of a shard.

Knows nothing about poses or metrics. Both are `training.data.record.Picture`s: small, and read again at every call.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.training.data.images import decode_image
from handfirst.training.data.record import Picture, UnreadableError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class PictureFile:
    """A picture, or with colour=False a mask, on disk."""

    path: Path
    colour: bool = True

    def read(self) -> NDArray[np.uint8]:
        """As `Picture.read`; a mask as it is stored.

        Raises:
            UnreadableError: it is missing or damaged.
        """
        return _decoded(_bytes(self.path, 0, -1), self.colour)


@dataclass(frozen=True)
class ShardMember:
    """A picture inside an uncompressed tar: `size` bytes from `offset`."""

    path: Path
    offset: int
    size: int
    colour: bool = True

    def read(self) -> NDArray[np.uint8]:
        """As `PictureFile.read`."""
        return _decoded(self.read_bytes(), self.colour)

    def read_bytes(self) -> bytes:
        """The member as it is."""
        return _bytes(self.path, self.offset, self.size)


def _bytes(path: Path, offset: int, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise UnreadableError(error.strerror or "cannot be read") from error


def _decoded(data: bytes, colour: bool) -> NDArray[np.uint8]:
    try:
        return decode_image(data, colour)
    except ValueError as error:
        raise UnreadableError(str(error)) from error


def read_picture(picture: Picture, key: str) -> NDArray[np.uint8]:
    """Its pixels.

    Raises:
        UserError: it is missing or damaged: one line that names it.
    """
    try:
        return picture.read()
    except UnreadableError as error:
        raise UserError(f"picture '{key}': {error}; make it again, or take it out of the list") from error


def files_by_key(folder: Path) -> dict[str, Path]:
    """Every picture of a folder by its name without the ending, in the order of names.

    Raises:
        UserError: no folder, no pictures, or two with the same name.
    """
    if not folder.is_dir():
        raise UserError(f"expected a folder of pictures, but '{folder}' is none; check the path")
    out: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")):
        if path.stem in out:
            raise UserError(f"{folder}: two pictures are named '{path.stem}'; rename one of them")
        out[path.stem] = path
    if not out:
        raise UserError(f"{folder}: no pictures in it ({', '.join(SUFFIXES)})")
    return out


def members(shard: Path) -> Iterator[tuple[str, dict[str, ShardMember]]]:
    """The examples of one shard in their order: key, members by their endings ("rgb.jpg").

    Raises:
        UserError: not a readable tar, or a compressed one.
    """
    key, group = "", dict[str, ShardMember]()
    try:
        with tarfile.open(shard, "r:") as tar:
            for info in tar:
                name, _, ending = Path(info.name).name.partition(".")
                if name != key and group:
                    yield key, group
                    group = {}
                key = name
                group[ending] = ShardMember(shard, info.offset_data, info.size, colour=ending != "mask.png")
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"{shard}: cannot be read ({error}); expected a tar that is not compressed") from error
    if group:
        yield key, group
