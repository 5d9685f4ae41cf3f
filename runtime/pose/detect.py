"""Key points of the people in a picture, by whichever detector is installed: MediaPipe or rtmlib.

MediaPipe Holistic (the `eval` extra) brings its models and finds one person. rtmlib (the `repair` extra) finds
everybody, by DWPose-like networks that it downloads when it first needs them. Neither is needed by whoever has key
points. Knows nothing about what the points are for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.photo import enlarged, look, solutions

Picture = NDArray[np.uint8]
Detector = Literal["auto", "mediapipe", "rtmlib"]


def detect(picture: Picture, detector: Detector = "auto") -> Pose:
    """The people in a picture uint8 RGB [H, W, 3], in its pixels; nobody if none are found.

    Args:
        detector: "auto" is MediaPipe where it is installed, else rtmlib.

    Raises:
        PoseError: no such detector, it is not installed, or it cannot work here.
    """
    if detector not in get_args(Detector):
        raise PoseError(f"detector: expected one of {', '.join(get_args(Detector))}, got {detector!a:.40}")
    looks: dict[str, Callable[[Picture], Pose]] = {"mediapipe": look, "rtmlib": look_with_rtmlib}
    installed = [name for name in looks if find_spec(name) is not None]
    if detector == "auto" and not installed:
        raise PoseError(
            "no detector of hands is installed; give key points (--pose), or install one: pip install "
            "'handfirst[repair]' (rtmlib), or in an environment of its own 'handfirst[eval]' (MediaPipe)"
        )
    return looks[installed[0] if detector == "auto" else detector](picture)


def look_with_rtmlib(picture: Picture) -> Pose:
    """As `detect`, by rtmlib's whole-body networks in its "balanced" mode.

    Raises:
        PoseError: it is not installed, or its networks cannot be had.
    """
    try:
        from rtmlib import Wholebody
    except ImportError as error:
        raise PoseError("rtmlib is not installed; run: pip install 'handfirst[repair]'") from error
    try:
        network: Any = Wholebody(mode="balanced", to_openpose=False, backend="onnxruntime", device="cpu")
    except Exception as error:  # without a network connection: whatever the download raises
        reason = " ".join(str(error).split())[:120]
        raise PoseError(f"rtmlib cannot get or open its networks ({reason}); give key points instead") from error
    height, width = picture.shape[:2]
    points, scores = network(np.ascontiguousarray(picture[..., ::-1]))  # it takes OpenCV's order of colours
    people = tuple(
        Person.of(np.column_stack([each[:, :2], np.clip(score, 0, 1)]).astype(np.float64))
        for each, score in zip(points, scores, strict=True)
    )
    return Pose(people, width, height, () if people else ("rtmlib found nobody in the photo",))


def hand_confidence(picture: Picture) -> float:
    """How sure MediaPipe is of the surest hand in a picture uint8 RGB [H, W, 3], 0 .. 1; 0 where it sees none.

    Raises:
        PoseError: MediaPipe is not installed.
    """
    found = _hands(picture).multi_handedness
    return max((float(each.classification[0].score) for each in found or ()), default=0.0)


def hand_points(picture: Picture) -> tuple[NDArray[np.float64], ...]:
    """The 21 points [21, 2] of every hand that MediaPipe sees in a picture uint8 RGB [H, W, 3], in its pixels.

    Raises:
        PoseError: MediaPipe is not installed.
    """
    size, found = picture.shape[1::-1], _hands(picture).multi_hand_landmarks
    return tuple(np.array([(each.x, each.y) for each in hand.landmark]) * size for hand in found or ())


def _hands(picture: Picture) -> Any:
    """What MediaPipe Hands says of a picture; unlike `detect` it needs no body around a hand."""
    hands = solutions().hands
    with hands.Hands(static_image_mode=True, max_num_hands=2, min_detection_confidence=0.5) as network:
        return network.process(enlarged(picture))
