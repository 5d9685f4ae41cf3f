"""Records on disk: pickled one after the other, and where each begins; any slice is read without the rest.

A million records stay on disk, of which a process holds one shard's. Pickle, because a record's picture is whatever its
reader makes it: a plan is for the data set's own maker, not for sharing. Key points are plain bytes in it, for the
environments of MediaPipe and of torch have different NumPys.
"""

from __future__ import annotations

import pickle
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.topology import POINTS
from handfirst.training.data.record import Record

PROTOCOL = 5


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


def read_records(folder: Path, name: str, start: int, stop: int) -> Iterator[Record]:
    """Records start .. stop - 1 of `folder`/`name`.bin.

    Raises:
        UserError: they are damaged, or were written by another version.
    """
    try:
        offsets = np.load(folder / f"{name}.npy", mmap_mode="r")
        with (folder / f"{name}.bin").open("rb") as file:
            file.seek(int(offsets[start]))
            for i in range(start, min(stop, len(offsets) - 1)):
                yield _unpack(zlib.decompress(file.read(int(offsets[i + 1] - offsets[i]))))
    except (pickle.UnpicklingError, zlib.error, ImportError, AttributeError, TypeError, ValueError, EOFError) as error:
        raise UserError(
            f"the plan in '{folder}' cannot be read ({error}); it is damaged, or made by another version of Python or "
            "handfirst: use that one, or remove the folder and begin again"
        ) from error


def _pack(record: Record) -> bytes:
    r = record
    people = np.ascontiguousarray(r.people, np.float32).tobytes()
    fields = (r.source, r.key, r.image, people, r.masks, r.caption, r.attributes, r.split)
    return pickle.dumps(fields, PROTOCOL)


def _unpack(data: bytes) -> Record:
    source, key, image, people, masks, caption, attributes, split = pickle.loads(data)
    points = np.frombuffer(people, np.float32).reshape(-1, POINTS, 3)
    return Record(source, key, image, points, masks, caption, attributes, split)
