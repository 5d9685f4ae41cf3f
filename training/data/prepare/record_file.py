"""Records on disk: pickled one after the other, and where each begins; any slice is read without the rest.

A million records stay on disk, of which a process holds one shard's. Pickle, because a record's picture is whatever
its reader makes it; so a plan is read where it was made, by the same version, and is not for sharing.
"""

from __future__ import annotations

import pickle
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from handfirst.training.data.record import Record

PROTOCOL = 5


class RecordWriter:
    """Appends records to a file; `offsets` says where each begins, and where the last one ends."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.offsets = array("q", [0])

    def write(self, record: Record) -> None:
        self.write_bytes(zlib.compress(pickle.dumps(record, PROTOCOL), 1))

    def write_bytes(self, content: bytes) -> None:
        """A record as another file holds it."""
        self._file.write(content)
        self.offsets.append(self.offsets[-1] + len(content))


def write_offsets(path: Path, offsets: array[int]) -> None:
    """Beside the records, as an .npy file."""
    np.save(path, np.frombuffer(offsets, np.int64))


def read_records(folder: Path, name: str, start: int, stop: int) -> Iterator[Record]:
    """Records start .. stop - 1 of `folder`/`name`.bin."""
    offsets = np.load(folder / f"{name}.npy", mmap_mode="r")
    with (folder / f"{name}.bin").open("rb") as file:
        file.seek(int(offsets[start]))
        for i in range(start, min(stop, len(offsets) - 1)):
            record = pickle.loads(zlib.decompress(file.read(int(offsets[i + 1] - offsets[i]))))
            assert isinstance(record, Record)
            yield record
