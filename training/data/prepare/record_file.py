"""Records on disk, one after the other, and where each begins; any slice is read without the rest.

A million records stay on disk, of which a process holds one shard's. A record is a line of JSON, then its key points
as plain bytes; its pictures are of the kinds in PICTURES and nothing else, so that a plan from elsewhere can name files
but never code.
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO, get_args

import numpy as np

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.topology import POINTS
from handfirst.training.data.record import Picture, Record, Split
from handfirst.training.data.sources.pictures import ImageFile, MaskFile, TarImage, TarMask
from handfirst.training.data.sources.procedural import Render, RenderedMask

PICTURES: Mapping[str, Any] = {
    kind.__name__: kind for kind in (ImageFile, MaskFile, TarImage, TarMask, Render, RenderedMask)
}
"""Frozen dataclasses of paths, numbers, truth values and texts."""

LARGEST = 16 << 20
"""Bytes of one record unpacked; a person's key points take 1600."""

_TYPES: Mapping[str, type] = {"Path": str, "str": str, "int": int, "bool": bool}


class RecordWriter:
    """Appends records to a file; `offsets` says where each begins, and where the last one ends."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.offsets = array("q", [0])

    def write(self, record: Record) -> None:
        """Appends one record."""
        self.write_bytes(zlib.compress(_pack(record), 1))

    def write_bytes(self, content: bytes) -> None:
        """Appends a record as another file holds it."""
        self._file.write(content)
        self.offsets.append(self.offsets[-1] + len(content))


def write_offsets(path: Path, offsets: array[int]) -> None:
    """Beside the records, as an .npy file."""
    np.save(path, np.frombuffer(offsets, np.int64))


def read_records(folder: Path, name: str, places: Iterable[int]) -> Iterator[Record]:
    """The records at these places of `folder`/`name`.bin, as far as there are any.

    Raises:
        UserError: they are damaged, or were written by another version.
    """
    try:
        offsets = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        with (folder / f"{name}.bin").open("rb") as file:
            for i in places:
                if i >= len(offsets) - 1:
                    return
                file.seek(int(offsets[i]))
                yield _unpack(_unzip(file.read(max(0, min(LARGEST, int(offsets[i + 1] - offsets[i]))))))
    except (zlib.error, KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError, EOFError) as error:
        raise UserError(
            f"the plan in '{folder}' cannot be read ({str(error)[:100]}); it is damaged, or made by another version of "
            "handfirst: use that one, or remove the folder and begin again"
        ) from error


def _unzip(data: bytes) -> bytes:
    """At most LARGEST bytes, whatever the packed ones would become."""
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(data, LARGEST)
    if not unpacker.eof:
        raise ValueError(f"a record that is cut off or larger than {LARGEST} bytes")
    return content


def _pack(record: Record) -> bytes:
    r = record
    people = np.ascontiguousarray(r.people, np.float32).tobytes()
    head = [r.source, r.key, _pack_picture(r.image), _pack_picture(r.masks), r.caption, r.attributes, r.split]
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + people


def _unpack(data: bytes) -> Record:
    head, line, people = data.partition(b"\n")
    source, key, image, masks, caption, attributes, split = json.loads(head)
    picture = _unpack_picture(image)
    if not isinstance(attributes, dict):
        raise ValueError("attributes that are none")
    texts = [source, key, *attributes, *attributes.values(), *([] if caption is None else [caption])]
    if not line or picture is None or split not in get_args(Split) or not all(isinstance(t, str) for t in texts):
        raise ValueError("not a record")
    points = np.frombuffer(people, np.float32).reshape(-1, POINTS, 3)
    return Record(source, key, picture, points, _unpack_picture(masks), caption, attributes, split)


def _pack_picture(picture: Picture | None) -> list[Any] | None:
    """[name of its kind, its fields in their order]."""
    if picture is None:
        return None
    kind: type[Any] = type(picture)
    if kind not in PICTURES.values():
        raise TypeError(f"a picture is a {kind.__name__}, expected one of {', '.join(PICTURES)}")
    values = [getattr(picture, field.name) for field in fields(kind)]
    return [kind.__name__, *(str(value) if isinstance(value, Path) else value for value in values)]


def _unpack_picture(packed: Any) -> Picture | None:
    if packed is None:
        return None
    name, *values = packed
    kind = PICTURES[name]
    wanted = [str(field.type) for field in fields(kind)]
    if [type(value) for value in values] != [_TYPES[each] for each in wanted]:
        raise ValueError(f"{name} expected {', '.join(wanted)}")
    picture: Picture = kind(*(Path(v) if each == "Path" else v for v, each in zip(values, wanted, strict=True)))
    return picture
