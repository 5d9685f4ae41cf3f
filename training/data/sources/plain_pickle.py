"""Lists of dicts in .npz files without running what they say: pickles that may only hold plain numbers and strings.

A pickle can name any function to be called. Here the few names that NumPy writes stand for functions of our own, every
other name is refused, and NumPy never sees the pickle's state. What is nested deeper than a dict's values is dropped:
a short pickle can hold a list that is endless, or that takes all memory once it is walked through.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.sources.entry import UnusableError

LARGEST = 4 << 20  # bytes of an unpacked member; a pose file has a few thousand
_NUMBERS = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})


Value = NDArray[Any] | float | str | None


def read_objects(path: Path, name: str = "arr_0") -> list[dict[str, Value]]:
    """The dicts of an object array, their values being arrays of plain numbers, numbers or strings; None for others.

    Args:
        path: a .npz file.
        name: of the array in it.

    Raises:
        UnusableError: no such file or array; another kind of file; a pickle that names anything but NumPy's arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            if member.file_size > LARGEST:
                raise UnusableError("pose file: too large")
            data = io.BytesIO(archive.read(member))
        version = np.lib.format.read_magic(data)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(data)
        if dtype != np.dtype(object):
            raise UnusableError("pose file: no objects")
        array = _Unpickler(data).load()
    except FileNotFoundError as error:
        raise UnusableError("no pose file") from error
    except UnusableError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise UnusableError("pose file: damaged") from error
    values = array.state if isinstance(array, _Array) else None
    if not isinstance(values, list) or len(values) != math.prod(shape):
        raise UnusableError("pose file: damaged")
    return [_plain(value) for value in values if isinstance(value, dict)]


class _Dtype:
    """What NumPy's dtype would be: only its letters and byte order."""

    def __init__(self, letters: object = "", *_rest: object) -> None:
        self.letters, self.order = str(letters), "="

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])

    def numpy(self) -> np.dtype[Any]:
        if self.letters not in _NUMBERS or self.order not in "<>=|":
            raise UnusableError("pose file: other things than numbers")
        return np.dtype(self.order + self.letters)


class _Array:
    """What a NumPy array would be: its pickled state, made into an array of plain numbers by `plain`."""

    state: Any = None
    shape: tuple[int, ...] = ()
    dtype = _Dtype()
    fortran = False

    def __init__(self, *_given: object) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.dtype, self.fortran, self.state = state

    def plain(self) -> NDArray[Any]:
        if not isinstance(self.dtype, _Dtype) or not isinstance(self.state, bytes):
            raise UnusableError("pose file: other things than numbers")
        try:
            flat = np.frombuffer(self.state, self.dtype.numpy())
            return flat.reshape(self.shape, order="F" if self.fortran else "C")
        except (ValueError, TypeError) as error:
            raise UnusableError("pose file: damaged") from error


def _scalar(dtype: object, data: object = b"") -> float:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
        raise UnusableError("pose file: other things than numbers")
    return float(np.frombuffer(data, dtype.numpy(), count=1)[0])


def _encode(text: str, _codec: str = "latin1") -> bytes:
    return text.encode("latin1")  # how pickles before protocol 3 write bytes


_NAMES: dict[str, Any] = {
    "multiarray._reconstruct": _Array,
    "multiarray.scalar": _scalar,
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        short = module.removeprefix("numpy.core.").removeprefix("numpy._core.")
        try:
            return _NAMES[f"{short}.{name}"]
        except KeyError:
            raise UnusableError("pose file: a pickle that names other things than arrays") from None


def _plain(found: dict[Any, Any]) -> dict[str, Value]:
    out: dict[str, Value] = {}
    for key, value in found.items():
        if isinstance(value, _Array):
            out[str(key)] = value.plain()
        else:
            out[str(key)] = value if isinstance(value, int | float | str) else None
    return out
