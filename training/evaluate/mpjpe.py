"""Mean per-joint position error: distances of found points from true ones, in units of the picture's sides.

Knows nothing about detectors. Coordinates are divided by width and height, which is what MediaPipe gives and what the
paper's magnitudes fit (two random points of the unit square lie .52 apart).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

MISSING = 1.0
"""What a point that was not found costs in the penalised figure."""


@dataclass(frozen=True)
class Error:
    """Of one picture, summed so that pictures can be pooled.

    Attributes:
        total: sum of the distances of the points that were found.
        found: number of true points that were found.
        true: number of true points.
    """

    total: float
    found: int
    true: int


def position_error(
    found: NDArray[np.float64], true: NDArray[np.float64], similarity: NDArray[np.float64], width: int, height: int
) -> Error:
    """Each true person is compared with the found one that the best assignment gives him.

    Args:
        found: [D, K, 2] in pixels, NaN = missing.
        true: [G, K, 2], likewise.
        similarity: [D, G]; the sum over the pairs is made as large as possible.
        width, height: of the picture in pixels.
    """
    pairs = zip(*linear_sum_assignment(similarity, maximize=True), strict=True)
    distances = [np.linalg.norm((found[d] - true[g]) / (width, height), axis=-1) for d, g in pairs]
    near = np.concatenate([*distances, np.zeros(0)])
    near = near[np.isfinite(near)]
    return Error(float(near.sum()), len(near), int(np.isfinite(true).all(-1).sum()))
