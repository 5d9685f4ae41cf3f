"""Which numbers can be confidences: a column of depth, percents and flags look much like them.

A confidence is 0 to 1. COCO's flags reach 2, a network's raw scores a little more. Knows nothing about formats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError

Table = NDArray[np.float64]
"""[K, 3] of x, y, confidence."""

SCORES = ("keypoint_scores", "keypoints_scores", "scores")
"""Under these names they stand beside the points."""
SURE = 0.3
"""What detectors are less sure of than this is missing."""
UNUSUAL, ABSURD = 2.0, 10.0
"""Confidences reach 1, COCO's flags 2, a network's raw scores more; none is above ten, but percents are."""


def confident(rows: Table, what: str) -> Table:
    """The same rows [..., 3], if their third column can be a confidence; -1 is a missing point's.

    Raises:
        PoseError: a point that is not missing has less than 0, or more than ABSURD.
    """
    column = rows[..., 2]
    known = located(rows) & np.isfinite(column) & (column != -1)
    odd = known & ((column < 0) | (column > ABSURD))
    if odd.any():
        low, high = column[known].min(), column[known].max()
        raise PoseError(
            f"{what}: expected confidences of 0 to 1, got {low:.3g} to {high:.3g}; "
            "leave depth out, divide percents by 100"
        )
    return rows


def located(rows: Table) -> NDArray[np.bool_]:
    """[...]: which of the points [..., 3] have coordinates."""
    x, y = rows[..., 0], rows[..., 1]
    known: NDArray[np.bool_] = np.isfinite(x) & np.isfinite(y) & ((x != 0) | (y != 0)) & (x != -1) & (y != -1)
    return known


def plausible(scores: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """The same scores, which stand beside points; a network's raw ones may be negative.

    Raises:
        PoseError: one is above ABSURD.
    """
    if (scores > ABSURD).any():
        raise PoseError(f"{what}: expected 0 to 1, got {np.nanmax(scores):.3g}; divide percents by 100")
    return scores


def joined(column: NDArray[np.float64], scores: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """Scores that stand beside points with a third column of their own: COCO's flags, 0 for missing, or the same again.

    Raises:
        PoseError: it is neither, but perhaps depth.
    """
    if np.isin(column[np.isfinite(column)], (0, 1, 2)).all():
        return np.where(column == 0, 0, scores)
    if np.allclose(column, scores, equal_nan=True):
        return scores
    raise PoseError(f"{what}: the points' third column and their scores differ; keep one of them, and leave depth out")


def odd_confidences(given: list[Table], people: list[Table]) -> list[str]:
    """Notes on confidences that are none: null or -1 where a point has coordinates, or unusually high."""
    bare = sum(int((located(rows) & (np.isnan(rows[:, 2]) | (rows[:, 2] == -1))).sum()) for rows in given)
    notes = [f"{bare} points have coordinates but no confidence (null or -1): they are missing"] if bare else []
    most = max((float(rows[:, 2].max()) for rows in people), default=0)
    if most > UNUSUAL:
        notes.append(f"confidences run to {most:.3g}, where 1 is usual, and 2 in COCO: thresholds may not fit them")
    return notes
