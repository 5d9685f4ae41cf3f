"""Numbers out of files: lists and arrays that may hold anything, checked before anything uses them."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.size import LARGEST_SIDE

LARGEST = 1e6
WRITTEN = re.compile(r"\s*([+-]?[0-9]{1,12}(?:\.[0-9]{0,20})?(?:[eE][+-]?[0-9]{1,2})?)\s*(?:px)?\s*")
"""A number that was saved as text."""


def number(value: Any, what: str) -> float:
    """An int or float of ordinary size, or one that was saved as text ("768").

    Raises:
        PoseError: anything else, NaN and infinity included.
    """
    if isinstance(value, str) and (match := WRITTEN.fullmatch(value)):
        value = float(match[1])
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PoseError(f"{what}: expected numbers, got {str(value)[:40]!r}; mend the file")
    if not abs(value) <= LARGEST:  # NaN too; whole numbers may be too large for a float
        raise PoseError(f"{what}: expected numbers up to {LARGEST:g}, got {str(value)[:40]}; mend the file")
    return float(value)


def number_or_gap(value: Any, what: str) -> float:
    """The same, and NaN for null and NaN: a point that is missing.

    Raises:
        PoseError: anything else, infinity included.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    return number(value, what)


def numbers(value: Any, ndim: int, what: str) -> NDArray[np.float64]:
    """A list of lists (`ndim` deep) or an array of plain numbers -> float64 with `ndim` axes; NaN for a gap.

    Raises:
        PoseError: rows of different lengths, another depth, or a value that is no ordinary number.
    """
    if not isinstance(value, np.ndarray):
        try:
            return np.array(_checked(value, ndim, what), np.float64)
        except ValueError as error:
            raise PoseError(f"{what}: expected rows of equal length; mend the file") from error
    if value.ndim != ndim or value.dtype.kind not in "biuf":
        raise PoseError(f"{what}: expected {ndim} axes of numbers, got {list(value.shape)} {value.dtype}")
    with np.errstate(invalid="ignore"):  # a NaN that signals is a NaN
        out = value.astype(np.float64)
    if (np.isinf(out) | (np.abs(out) > LARGEST)).any():
        raise PoseError(f"{what}: expected numbers up to {LARGEST:g}, got larger ones; mend the file")
    return out


def _checked(value: Any, depth: int, what: str) -> Any:
    if depth == 0:
        return number_or_gap(value, what)
    if not isinstance(value, list):
        raise PoseError(f"{what}: expected a list, got {str(value)[:40]!r}; is it another format?")
    return [_checked(v, depth - 1, what) for v in value]


def expect_shape(array: NDArray[np.float64], shape: tuple[int | None, ...], what: str) -> None:
    """Compares an array's shape with the expected one; None stands for any length.

    Raises:
        PoseError: they differ.
    """
    fits = array.ndim == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
    if not fits:
        wanted = " x ".join("N" if side is None else str(side) for side in shape)
        raise PoseError(f"{what}: expected {wanted} numbers, got {list(array.shape)}; is it another format?")


def canvas_size(width: Any, height: Any, what: str) -> tuple[int, int]:
    """A width and height in pixels.

    Raises:
        PoseError: not between 1 and LARGEST_SIDE.
    """
    sizes = (number(width, f"{what} width"), number(height, f"{what} height"))
    if not all(1 <= s <= LARGEST_SIDE for s in sizes):
        raise PoseError(f"{what}: expected 1 to {LARGEST_SIDE} pixels a side, got {sizes[0]:g} x {sizes[1]:g}")
    return round(sizes[0]), round(sizes[1])
