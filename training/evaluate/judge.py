"""MediaPipe Hands as an independent judge of drawn hands (`eval` extra, an environment of its own).

Knows nothing about models or files: a picture and true key points in, a verdict out. MediaPipe was trained on
photographs, so every figure is to be read beside that of the true renders.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.photo import solutions

LOOK_AT = 256  # pictures of hands are enlarged to this side

Points = NDArray[np.float64]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Verdict:
    """Whether the thing was found, the mean distance of its points relative to its extent, the side called right."""

    found: bool
    error: float | None = None
    side_right: bool | None = None


class HandJudge:
    """MediaPipe Hands on single pictures, at confidence .5."""

    def __init__(self) -> None:
        self._hands = solutions().hands.Hands(
            static_image_mode=True, max_num_hands=2, model_complexity=1, min_detection_confidence=0.5
        )

    def __call__(self, image: Image, points: Points, side: str) -> Verdict:
        """image uint8 [S, S, 3] of one hand, its points [21, 2] in pixels and its side; the better of two finds."""
        scale = LOOK_AT / len(image)
        seen = cv2.resize(image, (LOOK_AT, LOOK_AT), interpolation=cv2.INTER_CUBIC)
        result = self._hands.process(np.ascontiguousarray(seen))
        if not result.multi_hand_landmarks:
            return Verdict(False)
        true = points * scale
        extent = float(np.ptp(true, 0).max())
        finds = []
        for marks, label in zip(result.multi_hand_landmarks, result.multi_handedness, strict=True):
            found = np.array([[m.x, m.y] for m in marks.landmark]) * LOOK_AT
            error = float(np.linalg.norm(found - true, axis=1).mean()) / extent
            # MediaPipe Hands names sides as in a mirror
            finds.append(Verdict(True, error, (label.classification[0].label.lower() != side)))
        return min(finds, key=lambda v: v.error or 0.0)
