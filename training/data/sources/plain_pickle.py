"""Lists of dicts in .npz files without running what they say: pickles that may only hold plain numbers and strings.

A pickle is a program for a machine with a stack. Python's own machine calls any function that it names, and takes all
memory for a few bytes (a place in its memo with a large number). So here is one of our own that knows the few steps
that NumPy's arrays need (pickle_steps.py), and no function but stand-ins; NumPy never sees the pickle's state. What is
nested deeper than a dict's values is dropped: a short pickle can hold a list that is endless.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.sources.entry import UnusableError
from handfirst.training.data.sources.pickle_steps import Stand, run

LARGEST = 1 << 20
"""Bytes of an unpacked member; a pose file has a few thousand."""
MOST_PEOPLE = 1000
MOST_FIELDS = 100
"""Of one person."""

_NUMBERS = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})
_NAMES = {
    "multiarray._reconstruct": "array",
    "multiarray.scalar": "scalar",
    "numpy.ndarray": "array",
    "numpy.dtype": "dtype",
    "_codecs.encode": "bytes",
}

Value = NDArray[Any] | float | str | None


def read_objects(path: Path, name: str = "arr_0") -> list[dict[str, Value]]:
    """The dicts of an object array, their values being arrays of plain numbers, numbers or strings; None for others.

    Args:
        path: a .npz file.
        name: of the array in it.

    Raises:
        UnusableError: no such file or array; another kind of file; a pickle that names anything but NumPy's arrays, or
            needs more steps, people or bytes than any pose file.
    """
    try:
        shape, pickled = _read(path, f"{name}.npy")
        array = run(pickled, _named)
    except FileNotFoundError as error:
        raise UnusableError("no pose file") from error
    except UnusableError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise UnusableError("pose file: damaged") from error
    values = array.state[4] if _is(array, "array") and len(array.state) == 5 else None
    if not isinstance(values, list) or len(values) != math.prod(shape):
        raise UnusableError("pose file: damaged")
    if len(values) > MOST_PEOPLE:
        raise UnusableError("pose file: too many people")
    return [_plain(value) for value in values if isinstance(value, dict)]


def _read(path: Path, name: str) -> tuple[tuple[int, ...], bytes]:
    """Shape and pickle of an object array."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(name)
        if member.file_size > LARGEST:
            raise UnusableError("pose file: too large")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnusableError("pose file: packed in a way that NumPy does not write")
        data = io.BytesIO(archive.read(member))
    version = np.lib.format.read_magic(data)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(data)
    if dtype != np.dtype(object):
        raise UnusableError("pose file: no objects")
    return shape, data.read()


def _named(module: str, name: str) -> str:
    short = module.removeprefix("numpy.core.").removeprefix("numpy._core.")
    try:
        return _NAMES[f"{short}.{name}"]
    except KeyError:
        raise UnusableError("pose file: a pickle that names other things than arrays") from None


def _is(value: object, kind: str) -> bool:
    return isinstance(value, Stand) and value.kind == kind


def _plain(found: dict[Any, Any]) -> dict[str, Value]:
    if len(found) > MOST_FIELDS:
        raise UnusableError("pose file: too many fields")
    return {str(key): _value(value) for key, value in found.items()}


def _value(value: Any) -> Value:
    if _is(value, "array"):
        return _array(value)
    if _is(value, "scalar"):
        return _scalar(value)
    return value if isinstance(value, int | float | str) else None


def _array(array: Stand) -> NDArray[Any]:
    try:
        _, shape, dtype, fortran, data = array.state
        flat = np.frombuffer(_bytes(data), _dtype(dtype))
        return flat.reshape(shape, order="F" if fortran else "C")
    except (ValueError, TypeError, OverflowError) as error:
        raise UnusableError("pose file: damaged") from error


def _scalar(scalar: Stand) -> float:
    try:
        dtype, data = scalar.given or ()
        return float(np.frombuffer(_bytes(data), _dtype(dtype), count=1)[0])
    except (ValueError, TypeError) as error:
        raise UnusableError("pose file: damaged") from error


def _dtype(dtype: object) -> np.dtype[Any]:
    """Its letters are what it was made from, its byte order is part of its state."""
    letters = dtype.given[0] if isinstance(dtype, Stand) and dtype.kind == "dtype" and dtype.given else None
    order = dtype.state[1] if isinstance(dtype, Stand) and len(dtype.state) > 1 else "="
    if not isinstance(letters, str) or letters not in _NUMBERS or order not in ("<", ">", "=", "|"):
        raise UnusableError("pose file: other things than numbers")
    return np.dtype(order + letters)


def _bytes(data: object) -> bytes:
    """Pickles before protocol 3 write bytes as a text and how to encode it."""
    if isinstance(data, Stand) and data.kind == "bytes" and data.given and isinstance(data.given[0], str):
        return data.given[0].encode("latin1")
    if not isinstance(data, bytes):
        raise UnusableError("pose file: other things than numbers")
    return data
