"""Numbers out of JSON: lists of (x, y, confidence) that may hold anything, checked before anything uses them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError

LARGEST = 1e6
LARGEST_CANVAS = 16384


def triples(value: Any, count: int, what: str) -> NDArray[np.float64]:
    """A flat list of `count` x (x, y, confidence) -> float64 [count, 3]; None or an empty list -> zeros.

    Raises:
        PoseError: another length, or a value that is no ordinary number.
    """
    if value is None or value == []:
        return np.zeros((count, 3))
    if not isinstance(value, list):
        raise PoseError(f"{what}: expected a list of {3 * count} numbers, got {type(value).__name__}")
    if len(value) != 3 * count:
        raise PoseError(
            f"{what}: expected {3 * count} numbers ({count} points), got {len(value)}; is it another format?"
        )
    return np.array([number(v, what) for v in value]).reshape(count, 3)


def number(value: Any, what: str) -> float:
    """An int or float of ordinary size.

    Raises:
        PoseError: anything else, NaN and infinity included.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PoseError(f"{what}: expected numbers, got {str(value)[:40]!r}; mend the file")
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise PoseError(f"{what}: expected numbers up to {LARGEST:g}, got {str(value)[:40]}; mend the file")
    return float(value)


def canvas_size(width: Any, height: Any, what: str) -> tuple[int, int]:
    """A width and height in pixels.

    Raises:
        PoseError: not between 1 and LARGEST_CANVAS.
    """
    sizes = (number(width, f"{what} width"), number(height, f"{what} height"))
    if not all(1 <= s <= LARGEST_CANVAS for s in sizes):
        raise PoseError(f"{what}: expected 1 to {LARGEST_CANVAS} pixels a side, got {sizes[0]:g} x {sizes[1]:g}")
    return round(sizes[0]), round(sizes[1])


def visible(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 3] -> the same, x and y NaN and confidence 0 where a point is missing: no confidence, or exactly (0, 0)."""
    out = points.copy()
    missing = (points[:, 2] <= 0) | ((points[:, 0] == 0) & (points[:, 1] == 0))
    out[missing] = (np.nan, np.nan, 0)
    return out
