"""COCO-WholeBody's points in OpenPose's orders, which have a neck and a middle of the hips that COCO lacks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import HIPS, SHOULDERS


def openpose_rows(rows: NDArray[np.float64], order: tuple[int | None, ...]) -> NDArray[np.float64]:
    """rows [133, 3] of x, y, score (zeros: missing) -> [len(order), 3] in the order of topology.OPENPOSE_18 or _25.

    The neck and the middle of the hips are halfway between two points, as sure as the less sure one.
    """
    made = iter((_middle(rows[list(SHOULDERS)]), _middle(rows[list(HIPS)])))
    return np.stack([next(made) if index is None else rows[index] for index in order])


def _middle(pair: NDArray[np.float64]) -> NDArray[np.float64]:
    sure = pair[:, 2].min()
    return np.array([*pair[:, :2].mean(0), sure]) if sure > 0 else np.zeros(3)
