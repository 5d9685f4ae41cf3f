"""MediaPipe Holistic as a source of key points (`eval` extra, an environment of its own without torch).

Its 33 pose, 468 face and 21 + 21 hand landmarks become COCO-WholeBody's 133 points by the table of decision A6.19. It
finds one person at most, and does not say whether there are more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.topology import BODY, FACE, FEET, LEFT_HAND, POINTS, RIGHT_HAND
from handfirst.training.data.people import shows_a_hand

VISIBLE = 0.5
"""Below this visibility a pose landmark is a guess at what is hidden or outside the picture."""
# COCO's 17 body points and 6 foot points as pose landmarks; MediaPipe has no small toes.
POSE = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
POSE_FEET = (31, None, 29, 32, None, 30)
# The usual 68 face points as landmarks of the face mesh.
MESH = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389, 71, 63, 105, 66, 107, 336, 296,
    334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305, 33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380, 61,
    39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip

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
    out = np.zeros((POINTS, 3), np.float32)
    if pose is not None:
        out[BODY] = [_point(pose[i], pose[i].visibility >= VISIBLE) for i in POSE]
        out[FEET] = [(0, 0, 0) if i is None else _point(pose[i], pose[i].visibility >= VISIBLE) for i in POSE_FEET]
    if face is not None:
        out[FACE] = [_point(face[i], True) for i in MESH]
    for hand, where in ((left, LEFT_HAND), (right, RIGHT_HAND)):
        if hand is not None:
            out[where] = [_point(mark, True) for mark in hand]
    return np.asarray(out * np.array([width, height, 1], np.float32))


def _point(mark: Landmark, known: bool) -> tuple[float, float, float]:
    inside = 0 <= mark.x <= 1 and 0 <= mark.y <= 1
    return (mark.x, mark.y, 1.0) if known and inside else (0.0, 0.0, 0.0)


@lru_cache(maxsize=1)
def open_holistic() -> Finder:
    """Finds a person's key points in a picture uint8 [H, W, 3]: [133, 3], or None where no hand is seen.

    Opened once in a process.

    Raises:
        UserError: MediaPipe is not installed.
    """
    os.environ.setdefault("GLOG_minloglevel", "3")
    try:
        import mediapipe
    except ImportError as error:
        raise UserError(
            "mediapipe is not installed; run in a fresh environment: pip install 'handfirst[cpu,eval]'"
        ) from error
    # Complexity 2 would be fetched; 1 is in the wheel
    model = mediapipe.solutions.holistic.Holistic(static_image_mode=True, model_complexity=1)

    def find(image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        result = model.process(np.ascontiguousarray(image))
        parts = (result.pose_landmarks, result.face_landmarks, result.left_hand_landmarks, result.right_hand_landmarks)
        pose, face, left, right = (_marks(part) for part in parts)
        people = to_wholebody(pose, face, left, right, image.shape[1], image.shape[0])
        return people if shows_a_hand(people) else None

    return find


def _marks(found: Any) -> Sequence[Landmark] | None:
    return None if found is None else found.landmark
