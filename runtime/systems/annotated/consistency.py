"""How well a picture and its annotation tell the same story: a score to choose pictures by.

The annotation is judged by itself first: 21 points are recovered from it (recover.py), and have to explain what is
drawn. Where a detector looks at the picture, its points have to lie where the recovered ones are, too. All of it is
ours; no source has it. Knows nothing about models, and cannot know whether hands that agree with their annotation are
hands that people would take for real.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.systems.annotated.recover import RecoveredHand

NEAR = 0.2
"""PCK's threshold, as a share of the longer side of the recovered hand's box."""

Points = NDArray[np.float64]


def consistency(hands: Sequence[RecoveredHand], seen: Sequence[Points] | None = None) -> float:
    """0 .. 1: agreement times the share of bones that show; 0 where there is no hand.

    Of several hands the mean, weighted by the bones that show: a speck of the other side's values is hardly a hand.

    Args:
        hands: recovered from the annotation.
        seen: points [21, 2] of the hands that a detector sees in the picture: every hand's score is multiplied by the
            share of its points that the nearest of these hands confirms, sides not compared, as detectors mix them up.
            None: nobody looked.
    """
    if not hands:
        return 0.0
    scores = [hand.consistency * (1.0 if seen is None else confirmed(hand.points, seen)) for hand in hands]
    return float(np.average(scores, weights=[hand.bones.sum() for hand in hands]))


def confirmed(points: Points, seen: Sequence[Points]) -> float:
    """PCK: the share of the known points [21, 2] that lie near the same ones of a hand that is seen, the best of them.

    Points that are NaN are not counted.
    """
    known = np.isfinite(points).all(1)
    if not seen or not known.any():
        return 0.0
    side = float((points[known].max(0) - points[known].min(0)).max())
    return max(float((np.hypot(*(points - each)[known].T) <= NEAR * side).mean()) for each in seen)
