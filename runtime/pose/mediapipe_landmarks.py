"""MediaPipe's landmarks as COCO-WholeBody's 133 points, and back (decision A6.19). Tables and arithmetic only.

Small toes are not among MediaPipe's landmarks: 131 of the 133 points can be found. Hands need no table, both list
wrist, thumb, index, middle, ring, pinky from base to tip.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import FACE, LEFT_HAND, POINTS, RIGHT_HAND

BODY_AND_FEET = {
    0: 0, 1: 2, 2: 5, 3: 7, 4: 8, 5: 11, 6: 12, 7: 13, 8: 14, 9: 15, 10: 16,
    11: 23, 12: 24, 13: 25, 14: 26, 15: 27, 16: 28, 17: 31, 19: 29, 20: 32, 22: 30,
}  # fmt: skip
"""COCO-WholeBody's point -> MediaPipe Pose's landmark; big toes and heels are all it has of the feet."""
FACE_MESH = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389, 71, 63, 105, 66, 107, 336, 296,
    334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305, 33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380, 61,
    39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""The face mesh's vertex of each of the 68 face points."""
FINDABLE = tuple(sorted([*BODY_AND_FEET, *range(FACE.start, POINTS)]))
POSE_MARKS, FACE_MARKS, HAND_MARKS = 33, 468, 21
VISIBLE = 0.5
"""Below this visibility a landmark is a guess at what is hidden or outside the picture."""

Marks = NDArray[np.float64]


def joined(pose: Marks | None, face: Marks | None, left: Marks | None, right: Marks | None) -> Marks:
    """Landmarks [33, 3], [468 or more, 3], [21, 3], [21, 3] (None: not found) -> [133, 3], rows kept, zeros elsewhere.

    A row is x, y in units of the picture's sides and a confidence.
    """
    out = np.zeros((POINTS, 3))
    if pose is not None:
        out[list(BODY_AND_FEET)] = pose[list(BODY_AND_FEET.values())]
    if face is not None:
        out[FACE] = face[list(FACE_MESH)]
    for where, hand in ((LEFT_HAND, left), (RIGHT_HAND, right)):
        if hand is not None:
            out[where] = hand
    return out


def parted(points: Marks) -> tuple[Marks, Marks, Marks, Marks]:
    """[133, 3] -> pose [33, 3], face [468, 3], left and right hand [21, 3]; zeros where there is no such point."""
    pose, face = np.zeros((POSE_MARKS, 3)), np.zeros((FACE_MARKS, 3))
    pose[list(BODY_AND_FEET.values())] = points[list(BODY_AND_FEET)]
    face[list(FACE_MESH)] = points[FACE]
    return pose, face, points[LEFT_HAND], points[RIGHT_HAND]


def whole_body(result: Any, width: int, height: int) -> Marks | None:
    """What Holistic found as [133, 3]: x, y in pixels and confidence (visibility for the body, 1 elsewhere), 0 = none.

    Args:
        result: with pose_landmarks, face_landmarks, left_hand_landmarks, right_hand_landmarks; each None or with
            a list `landmark` of points in units of the picture's sides.

    Returns:
        None where not even a body was found.
    """
    if not result.pose_landmarks:
        return None
    pose = np.array([(mark.x, mark.y, mark.visibility) for mark in result.pose_landmarks.landmark])
    parts = (result.face_landmarks, result.left_hand_landmarks, result.right_hand_landmarks)
    face, left, right = (
        np.array([(mark.x, mark.y, 1.0) for mark in part.landmark]) if part else None for part in parts
    )
    return joined(pose, face, left, right) * (width, height, 1)
