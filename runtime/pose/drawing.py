"""Discs, strokes and ellipses with soft edges, by their distance to each pixel's centre. NumPy only.

Coordinates are continuous pixels (centres at i + .5). Knows nothing about skeletons.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]
_Points = NDArray[np.float64]
_Array = NDArray[np.float64]

REACH = 0.6
"""Pixels by which a shape is larger than its size says, measured on OpenCV's, with which ControlNets were trained."""


def disc(image: Image, centre: _Points, radius: float, colour: Colour) -> None:
    """A filled circle."""

    def distance(x: _Array, y: _Array) -> _Array:
        return np.asarray(np.hypot(x - centre[0], y - centre[1]) - radius)

    _cover(image, centre - radius, centre + radius, colour, distance)


def stroke(image: Image, a: _Points, b: _Points, width: float, colour: Colour) -> None:
    """A line with round ends."""
    along, half = b - a, width / 2
    length = max(float(along @ along), 1e-12)

    def distance(x: _Array, y: _Array) -> _Array:
        part = np.clip(((x - a[0]) * along[0] + (y - a[1]) * along[1]) / length, 0, 1)
        return np.asarray(np.hypot(x - a[0] - part * along[0], y - a[1] - part * along[1]) - half)

    _cover(image, np.minimum(a, b) - half, np.maximum(a, b) + half, colour, distance)


def ellipse(image: Image, a: _Points, b: _Points, half_width: float, colour: Colour) -> None:
    """A filled ellipse whose longer axis ends at a and b."""
    middle, half = (a + b) / 2, (b - a) / 2
    length = max(float(np.hypot(*half)), 1 / 16)
    cos, sin = half / length if half.any() else (1.0, 0.0)

    def distance(x: _Array, y: _Array) -> _Array:
        """To first order, which is exact where it matters: at the edge."""
        u, v = cos * (x - middle[0]) + sin * (y - middle[1]), cos * (y - middle[1]) - sin * (x - middle[0])
        inside, slope = np.hypot(u / length, v / half_width), np.hypot(u / length**2, v / half_width**2)
        return np.asarray(inside * (inside - 1) / np.maximum(slope, 1e-12))

    reach = max(length, half_width)
    _cover(image, middle - reach, middle + reach, colour, distance)


def _cover(
    image: Image, low: _Points, high: _Points, colour: Colour, distance: Callable[[_Array, _Array], _Array]
) -> None:
    """Mixes the colour in where `distance` (negative inside) says so, within the box that holds the shape."""
    height, width = image.shape[:2]
    x0, y0 = (min(max(math.floor(v - 2), 0), size) for v, size in zip(low, (width, height), strict=True))
    x1, y1 = (min(max(math.ceil(v + 2), 0), size) for v, size in zip(high, (width, height), strict=True))
    if x0 >= x1 or y0 >= y1:
        return
    x, y = (np.arange(low, high, dtype=np.float64) + 0.5 for low, high in ((x0, x1), (y0, y1)))
    away = distance(x[None], y[:, None])
    weight = np.minimum(np.maximum(0.5 + REACH - away, 0), 1)[..., None]
    region = image[y0:y1, x0:x1]
    region[:] = np.rint(weight * np.array(colour) + (1 - weight) * region)
