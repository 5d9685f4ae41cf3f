"""Squares around hands and faces, enlarged: what a judge of single parts looks at. Knows nothing about judges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.geometry import Similarity

MARGIN = 2.2
"""Side of the square in units of the points' extent: MediaPipe wants to see some wrist and some background."""


def cut(
    image: NDArray[np.uint8], points: NDArray[np.float64], size: int = 256
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A square around points, cut from the picture; where it leaves the picture, the picture's edge goes on.

    Args:
        image: [H, W, 3].
        points: [K, 2] in pixels (pixel i centred at i + .5), NaN = missing, at least one known.
        size: side of the square's picture.

    Returns:
        uint8 [size, size, 3], and the points in it, [K, 2].
    """
    low, high = np.nanmin(points, 0), np.nanmax(points, 0)
    side = MARGIN * max(1.0, float((high - low).max()))
    to_crop = Similarity(size / side, *(size / 2 - size / side * (low + high) / 2).tolist())
    matrix = np.array(
        [
            [to_crop.scale, 0, to_crop.dx + to_crop.scale / 2 - 0.5],
            [0, to_crop.scale, to_crop.dy + to_crop.scale / 2 - 0.5],
        ]
    )
    square = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(square, np.uint8), to_crop.apply(points)
