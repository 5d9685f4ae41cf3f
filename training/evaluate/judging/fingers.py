"""Do a hand's 21 points make five fingers: length, order and bend of each finger's chain, against limits.

This definition is ours. The limits are the 1st and 99th percentile of the renderer's true hands, seen from all sides,
with half of a landmark network's median error (`benchmarks/finger_limits.py` derives them), so that of true hands, too,
some are outside: read a share beside that of the true renders, and beside the share of hands that were found at all. A
landmark network has learnt what hands look like and seldom draws an impossible one: this counts what it could not
explain away. Knows nothing about pictures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import FINGERS

Points = NDArray[np.float64]
NAMES = ("thumb", "index", "middle", "ring", "pinky")
NEXT = ((0, 1), (1, 2), (2, 3), (3, 4), (3, 4))  # the neighbours whose order a finger answers for
BASES = tuple(finger[0] for finger in FINGERS)

# LIMITS[finger] = (length, order, bend), each (low, high)
LIMITS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.299, 0.982), (-21.69, 72.12), (0, 34.296)),  # thumb
    ((0.22, 0.805), (-1.928, 31.947), (0, 47.337)),  # index
    ((0.241, 0.941), (-1.383, 29.635), (0, 37.66)),  # middle
    ((0.2, 0.874), (-1.696, 33.295), (0, 55.494)),  # ring
    ((0.149, 0.692), (-1.696, 33.295), (0, 66.207)),  # pinky
)


def chains(points: Points) -> NDArray[np.float64]:
    """What is limited of each finger.

    Args:
        points: [21, 2] in pixels, all known.

    Returns:
        [5, 3]: length of the chain from its first joint to the tip, in units of the longer side of the hand's box;
        order: the angle at the wrist, in degrees, from this finger's base to the next one's (the pinky's from the
        ring finger's), positive as the whole palm turns from index to pinky;
        bend: in degrees, by how much its two bends at the middle joints go opposite ways (the smaller of the two; 0
        where both go the same way): a finger curls, it does not zigzag, and a projection keeps that.
    """
    extent = max(float(np.ptp(points, 0).max()), 1e-9)
    bases = points[list(BASES)] - points[0]
    winding = 1.0 if _turn(bases[1], bases[4]) >= 0 else -1.0
    rows = []
    for finger, (here, beside) in zip(FINGERS, NEXT, strict=True):
        steps = np.diff(points[list(finger)], axis=0)
        first, second = _turn(steps[0], steps[1]), _turn(steps[1], steps[2])
        rows.append(
            (
                float(np.linalg.norm(steps, axis=1).sum()) / extent,
                winding * _turn(bases[here], bases[beside]),
                min(abs(first), abs(second)) if first * second < 0 else 0.0,
            )
        )
    return np.array(rows)


def passes(points: Points) -> NDArray[np.bool_]:
    """bool [5]: whether each finger's chain of points [21, 2] is within all its limits."""
    limits = np.array(LIMITS)
    found = chains(points)
    return np.asarray(((found >= limits[..., 0]) & (found <= limits[..., 1])).all(1))


def five_fingers(points: Points) -> bool:
    """Whether all five chains pass."""
    return bool(passes(points).all())


def _turn(a: Points, b: Points) -> float:
    """Signed angle from a to b, in degrees."""
    return float(np.degrees(np.arctan2(a[0] * b[1] - a[1] * b[0], a @ b)))
