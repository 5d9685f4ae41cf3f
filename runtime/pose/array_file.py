"""NumPy's .npy and .npz files from anywhere: plain numbers only, sizes checked before memory is taken.

A header is small and may promise any shape, a zip member may unpack to any size, an object array may run code. Knows
nothing about poses.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError

NPY, NPZ = b"\x93NUMPY", b"PK"
MOST_MEMBERS = 64
MOST_NUMBERS = 4 << 20
MOST_BYTES = MOST_NUMBERS * 8 + 4096

Arrays = dict[str, NDArray[Any]]


def is_array_file(data: bytes) -> bool:
    """Whether the bytes begin like a .npy or .npz file."""
    return data.startswith((NPY, NPZ))


def read_arrays(data: bytes) -> Arrays:
    """The arrays of a .npz file by their names; that of a .npy file under the name "arr_0", as NumPy would call it.

    Members that are no .npy are left out. Numbers only: whole, floating, true or false.

    Raises:
        PoseError: damaged, too large, or with objects or texts in it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old or odd headers; they are refused or read, not talked about
            return {"arr_0": _array(io.BytesIO(data))} if data.startswith(NPY) else _members(data)
    except PoseError:
        raise
    except Exception as error:  # a damaged zip or header can raise anything
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise PoseError(f"a damaged .npy or .npz file ({reason}); save it again") from error


def _members(data: bytes) -> Arrays:
    out: Arrays = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if not names or len(names) > MOST_MEMBERS:
            raise PoseError(f"expected a .npz file of 1 to {MOST_MEMBERS} arrays, got a zip with {len(names)}")
        for info in names:
            name = info.filename.removesuffix(".npy")
            with archive.open(info) as member:
                content = member.read(MOST_BYTES + 1)  # what the directory says of its size may be a lie
            if len(content) > MOST_BYTES:
                raise PoseError(f"{name[:40]!r}: expected at most {MOST_NUMBERS} numbers; is it a pose?")
            out[name] = _array(io.BytesIO(content))
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
