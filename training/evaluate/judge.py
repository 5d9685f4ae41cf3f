"""MediaPipe as an independent judge of drawn hands and people (`eval` extra, an environment of its own).

Knows nothing about models or files: pictures and true key points in, figures out. MediaPipe was trained on photographs,
so every figure is to be read beside that of the true renders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.photo import solutions

# MediaPipe Pose's landmark -> COCO body point, from the nose to the hips (decision A6.19); a half-body ends there.
POSE_TO_COCO = {0: 0, 2: 1, 5: 2, 7: 3, 8: 4, 11: 5, 12: 6, 13: 7, 14: 8, 15: 9, 16: 10, 23: 11, 24: 12}
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


class BodyJudge:
    """MediaPipe Pose on single pictures."""

    def __init__(self) -> None:
        self._pose = solutions().pose.Pose(static_image_mode=True, model_complexity=1)

    def __call__(self, image: Image, body: Points) -> Verdict:
        """image uint8 [H, W, 3] and the true body [17, 2]; the error is relative to the torso's length."""
        result = self._pose.process(np.ascontiguousarray(image))
        if not result.pose_landmarks:
            return Verdict(False)
        height, width = image.shape[:2]
        marks = result.pose_landmarks.landmark
        pairs = [(np.array([marks[m].x * width, marks[m].y * height]), body[c]) for m, c in POSE_TO_COCO.items()]
        errors = [float(np.linalg.norm(a - b)) for a, b in pairs if np.isfinite(b).all()]
        torso = float(np.linalg.norm(body[5:7].mean(0) - body[11:13].mean(0)))
        return Verdict(True, float(np.mean(errors)) / torso)


def share(hits: Sequence[bool]) -> dict[str, float]:
    """A proportion with its 95% Wilson interval and n."""
    from scipy.stats import binomtest

    n, k = len(hits), sum(hits)
    interval = binomtest(k, n).proportion_ci(method="wilson")
    return {
        "value": round(k / n, 4), "low": round(float(interval.low), 4), "high": round(float(interval.high), 4), "n": n,
    }  # fmt: skip


def summary(verdicts: Sequence[Verdict], close: float) -> dict[str, Any]:
    """Share found, share found with an error below `close` (of all), median error of those found."""
    errors = [v.error for v in verdicts if v.error is not None]
    sides = [v.side_right for v in verdicts if v.side_right is not None]
    out: dict[str, Any] = {
        "detected": share([v.found for v in verdicts]),
        f"error_below_{close:g}": share([v.error is not None and v.error < close for v in verdicts]),
        "median_error": round(float(np.median(errors)), 4) if errors else None,
    }
    return out | ({"side_right": share(sides)} if sides else {})
