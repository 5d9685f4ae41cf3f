"""Which face of a hand the viewer sees, told from its 2D key points, and the words for it.

Knows nothing about depth: a hand seen edge-on is "side". The words begin the hands' prompt in training and at run time.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.crop import HandCrop
from handfirst.runtime.pose.person import Person
from handfirst.runtime.pose.topology import Side

View = Literal["palm", "back", "side"]

WRIST, INDEX_BASE, PINKY_BASE = 0, 5, 17
EDGE_ON = 0.2
"""Below this sine-like measure of how open the palm's triangle is, the hand is seen from the side."""


def hand_view(points: NDArray[np.float64], side: Side) -> View:
    """points [21, 2] in pixels -> the face that is seen; "side" also where a needed point is missing.

    The triangle wrist, index base, pinky base turns one way on a palm and the other way on a back. With y down, a
    left hand's palm has a positive cross product (index - wrist) x (pinky - wrist); a right hand mirrors it.
    """
    wrist, index, pinky = points[WRIST], points[INDEX_BASE], points[PINKY_BASE]
    if not np.isfinite(np.stack([wrist, index, pinky])).all():
        return "side"
    a, b = index - wrist, pinky - wrist
    cross = float(a[0] * b[1] - a[1] * b[0])
    longest = max(float(a @ a), float(b @ b), 1e-9)
    openness = cross / longest * (1 if side == "left" else -1)
    if abs(openness) < EDGE_ON:
        return "side"
    return "palm" if openness > 0 else "back"


def hand_words(person: Person, crop: HandCrop) -> str:
    """For example "palm of a left hand"; two hands in one crop are joined by "and"."""
    return " and ".join(f"{hand_view(person.hand(side), side)} of a {side} hand" for side in crop.sides)
