"""Key points as data sets hold them, and as the runtime reads them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.person import Person
from handfirst.runtime.pose.topology import SIDES


def to_person(keypoints: NDArray[np.float32]) -> Person:
    """keypoints [133, 3] (x, y, > 0 where known) -> the runtime's person, NaN where unknown."""
    known = keypoints[:, 2] > 0
    points = np.where(known[:, None], keypoints[:, :2], np.nan).astype(np.float64)
    return Person(points=points, scores=known.astype(np.float64))


def to_keypoints(person: Person) -> NDArray[np.float32]:
    """The inverse: float32 [133, 3], zeros where unknown."""
    known = np.asarray(np.isfinite(person.points).all(1))
    return np.where(known[:, None], np.c_[person.points, np.ones(len(known))], 0).astype(np.float32)


def shows_a_hand(keypoints: NDArray[np.float32]) -> bool:
    """Whether enough of either hand is known to draw it."""
    person = to_person(keypoints)
    return any(person.has_hand(side) for side in SIDES)
