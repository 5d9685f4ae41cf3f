"""MediaPipe Holistic as a source of key points (`eval` extra, an environment of its own without torch).

Its 33 pose, 468 face and 21 + 21 hand landmarks become COCO-WholeBody's 133 points by the table of decision A6.19. It
finds one person at most, and does not say whether there are more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.landmarks import joined
from handfirst.runtime.pose.marks import VISIBLE
from handfirst.runtime.pose.photo import solutions
from handfirst.training.data.record import shows_a_hand

Finder = Callable[[NDArray[np.uint8]], NDArray[np.float32] | None]


class Landmark(Protocol):
    """x and y in [0, 1] of width and height; visibility in [0, 1], of pose landmarks only."""

    x: float
    y: float
    visibility: float


def to_wholebody(
    pose: Sequence[Landmark] | None,
    face: Sequence[Landmark] | None,
    left: Sequence[Landmark] | None,
    right: Sequence[Landmark] | None,
    width: int,
    height: int,
) -> NDArray[np.float32]:
    """Holistic's landmarks (33, 468, 21, 21; None for what was not found) -> float32 [133, 3] in pixels.

    The third column is 1 for known points. A pose landmark counts from a visibility of VISIBLE on, and every point only
    inside the picture.
    """
    rows = joined(_rows(pose, seen=True), _rows(face), _rows(left), _rows(right))
    inside = ((rows[:, :2] >= 0) & (rows[:, :2] <= 1)).all(1)
    known = inside & (rows[:, 2] >= VISIBLE)
    rows[:, 2] = 1
    return (rows * known[:, None] * (width, height, 1)).astype(np.float32)


def _rows(marks: Sequence[Landmark] | None, seen: bool = False) -> NDArray[np.float64] | None:
    """x, y and visibility, which is 1 where MediaPipe has none (all but `seen` landmarks of the body)."""
    return None if marks is None else np.array([(m.x, m.y, m.visibility if seen else 1.0) for m in marks])


@lru_cache(maxsize=1)
def open_holistic() -> Finder:
    """Finds a person's key points in a picture uint8 [H, W, 3]: [133, 3], or None where no hand is seen.

    Opened once in a process.

    Raises:
        UserError: MediaPipe is not installed.
    """
    # Complexity 2 would be fetched; 1 is in the wheel
    model = solutions().holistic.Holistic(static_image_mode=True, model_complexity=1)

    def find(image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        result = model.process(np.ascontiguousarray(image))
        parts = (result.pose_landmarks, result.face_landmarks, result.left_hand_landmarks, result.right_hand_landmarks)
        pose, face, left, right = (_marks(part) for part in parts)
        people = to_wholebody(pose, face, left, right, image.shape[1], image.shape[0])
        return people if shows_a_hand(people) else None

    return find


def _marks(found: Any) -> Sequence[Landmark] | None:
    return None if found is None else found.landmark
