"""What lies in a pose file: the bytes of a plain file, and JSON or NumPy arrays out of them. Knows nothing about poses.

A pipe or a device could be read for ever, and so could some of /proc, whose files say that they are empty: as many
bytes are read as a plain file says that it has. JSON comes in any Unicode encoding; of a name that stands twice in an
object Python would keep the last value, and nobody knows which was meant: such a file is refused. Of .npy and .npz
files plain numbers are read, and sizes are checked before memory is taken: a header is small and may promise any shape,
a zip member may unpack to any size, an object array may run code.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError

NPY, NPZ = b"\x93NUMPY", b"PK"
MOST_MEMBERS = 64
MOST_NUMBERS = 4 << 20
MOST_BYTES = MOST_NUMBERS * 8 + 4096

Arrays = dict[str, NDArray[Any]]


def plain_bytes(path: Path, most: int) -> bytes:
    """The content of a plain file of 1 to `most` bytes.

    Raises:
        PoseError: it is none, or cannot be read.
    """
    try:
        size = _plain_size(path.stat())  # before it is opened, too: opening some devices does something
        with open(path, "rb", opener=_without_waiting) as file:
            size = _plain_size(os.fstat(file.fileno()))
            if size > most:
                raise PoseError(f"expected at most {most >> 20} MB, got more; is it a pose?")
            content = file.read(size)
    except OSError as error:
        raise PoseError(f"cannot be read ({error.strerror or error}); give the path of a pose file") from error
    except ValueError as error:  # a path with a zero byte
        raise PoseError("cannot be read (no path of a file); give the path of a pose file") from error
    if not content:
        raise PoseError("cannot be read (the file is empty); give the path of a pose file")
    return content


def parse_json(content: bytes) -> object:
    """JSON in UTF-8, UTF-16 or UTF-32, with a byte order mark or without one; other bytes in names do no harm.

    Raises:
        PoseError: no text, no JSON, or a name stands twice in an object.
    """
    try:
        text = content.decode(json.detect_encoding(content))
    except UnicodeDecodeError as error:
        if content.lstrip()[:1] not in (b"{", b"["):
            raise PoseError("not a text file; expected JSON, .npy, .npz, or a JPEG, PNG, WebP photo") from error
        text = content.decode("latin-1")  # keys and numbers are ASCII
    return parse_text(text)


def parse_text(text: str) -> object:
    """JSON that was decoded.

    Raises:
        PoseError: no JSON, or a name stands twice in an object.
    """
    try:
        return json.loads(text, object_pairs_hook=each_name_once)
    except RecursionError as error:
        raise PoseError("nested too deeply to be a pose") from error
    except ValueError as error:
        raise PoseError(f"not valid JSON ({' '.join(str(error).split())[:120]})") from error


def each_name_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON, for json.loads.

    Raises:
        ValueError: a name stands twice in it.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1) if len(names) < 1000 else "a name"
        raise ValueError(f"{twice[:40]!a} stands twice")
    return found


def is_array_file(content: bytes) -> bool:
    """Whether the bytes begin like a .npy or .npz file."""
    return content.startswith((NPY, NPZ))


def read_arrays(content: bytes) -> Arrays:
    """The arrays of a .npz file by their names; that of a .npy file under the name "arr_0", as NumPy would call it.

    Members that are no .npy are left out. Numbers only: whole, floating, true or false.

    Raises:
        PoseError: damaged, too large, or with objects or texts in it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old or odd headers; they are refused or read, not talked about
            return {"arr_0": _array(io.BytesIO(content))} if content.startswith(NPY) else _members(content)
    except PoseError:
        raise
    except Exception as error:  # a damaged zip or header can raise anything
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise PoseError(f"a damaged .npy or .npz file ({reason}); save it again") from error


def _plain_size(status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise PoseError(f"cannot be read (expected a plain file, got {kind}); give the path of a pose file")
    return status.st_size


def _without_waiting(path: str, flags: int) -> int:
    """Opens it; a pipe that took the file's place in between does not wait for somebody to write into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _members(content: bytes) -> Arrays:
    out: Arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if not names or len(names) > MOST_MEMBERS:
            raise PoseError(f"expected a .npz file of 1 to {MOST_MEMBERS} arrays, got a zip with {len(names)}")
        if len({info.filename for info in names}) < len(names):
            raise PoseError("two arrays of the .npz file have the same name; save it again")
        for info in names:
            name = info.filename.removesuffix(".npy")
            with archive.open(info) as member:
                unpacked = member.read(MOST_BYTES + 1)  # what the directory says of its size may be a lie
            if len(unpacked) > MOST_BYTES:
                raise PoseError(f"{name[:40]!r}: expected at most {MOST_NUMBERS} numbers; is it a pose?")
            out[name] = _array(io.BytesIO(unpacked))
    if sum(array.size for array in out.values()) > MOST_NUMBERS:
        raise PoseError(f"expected at most {MOST_NUMBERS} numbers in all; is it a pose?")
    return out


def _array(file: BinaryIO) -> NDArray[Any]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise PoseError(f"expected a .npy file of version 1 or 2, got {version}; save plain numbers")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise PoseError(f"expected arrays of plain numbers, got {str(dtype)[:40]}; save float arrays (numpy.savez)")
    if any(side < 0 for side in shape) or math.prod(shape) > MOST_NUMBERS:
        raise PoseError(f"expected at most {MOST_NUMBERS} numbers, got an array of {str(shape)[:60]}; is it a pose?")
    file.seek(0)
    return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
