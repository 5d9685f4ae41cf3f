"""Rendered samples of the tests, small, and what is looked up in them."""

import numpy as np

from handfirst.runtime.pose.view import View, hand_view
from handfirst.training.data.procedural.sample import (
    LEFT_HAND,
    RIGHT_HAND,
    Sample,
)

SIZE = 64


HAND_SLOTS = {"left": LEFT_HAND, "right": RIGHT_HAND}
"""Rows of the key points, by the hand's side."""


def points_of(sample: Sample, side: str) -> np.ndarray:
    """The 21 labelled points [n,2] of one hand."""
    rows = sample.keypoints[HAND_SLOTS[side]]
    return rows[rows[:, 2] > 0, :2]


def view_of(sample: Sample, side: str) -> View:
    """Which face of a hand the runtime sees, which knows the points alone."""
    return hand_view(points_of(sample, side).astype(float), "left" if side == "left" else "right")
