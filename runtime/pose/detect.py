"""Key points of the people in a picture, by whichever detector is installed: MediaPipe or rtmlib.

MediaPipe Holistic (the `eval` extra) brings its models and finds one person. rtmlib (the `repair` extra) finds
everybody, by networks in the folder that HANDFIRST_RTMLIB names, or by RTMW, which it downloads when it first needs it.
Neither is needed by whoever has key points. Knows nothing about what the points are for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.ort import import_onnxruntime
from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.photo import enlarged, look, solutions

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]
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


RTM_FILES = ("person.onnx", "whole_body.onnx")
"""In HANDFIRST_RTMLIB: YOLOX for people, and RTMPose, DWPose or RTMW with the 133 points of COCO-WholeBody."""


def look_with_rtmlib(picture: Picture) -> Pose:
    """As `detect`, by rtmlib.

    Raises:
        PoseError: it is not installed, or its networks cannot be had.
    """
    find_people, find_points = _rtm_networks(os.environ.get("HANDFIRST_RTMLIB"))
    height, width = picture.shape[:2]
    bgr = np.ascontiguousarray(picture[..., ::-1])  # it takes OpenCV's order of colours
    boxes = find_people(bgr)
    if not len(boxes):  # it would take the whole picture for a person
        return Pose((), width, height, ("rtmlib found nobody in the photo",))
    points, scores = find_points(bgr, bboxes=boxes)
    rows = np.concatenate([points, np.clip(scores, 0, 1)[..., None]], -1).astype(np.float64)
    return Pose(tuple(map(Person.of, rows)), width, height)


@lru_cache(maxsize=1)
def _rtm_networks(folder: str | None) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What finds people, and what finds their points; once for all pictures, since opening them takes seconds."""
    try:
        import rtmlib
    except ImportError as error:
        raise PoseError("rtmlib is not installed; run: pip install 'handfirst[repair]'") from error
    where: dict[str, Any] = {"backend": "onnxruntime", "device": "cpu"}
    try:
        with redirect_stdout(sys.stderr):  # it prints what it opens
            if folder is None:
                both = rtmlib.Wholebody(mode="balanced", to_openpose=False, **where)
                return both.det_model, both.pose_model
            person, whole_body = (Path(folder) / name for name in RTM_FILES)
            height, width = _input_size(person)
            people = rtmlib.YOLOX(str(person), model_input_size=(height, width), **where)
            height, width = _input_size(whole_body)
            return people, rtmlib.RTMPose(str(whole_body), model_input_size=(width, height), **where)
    except PoseError:
        raise
    except Exception as error:  # without a network connection: whatever the download raises
        reason = " ".join(str(error).split())[:120]
        raise PoseError(f"rtmlib cannot get or open its networks ({reason}); give key points instead") from error


def _input_size(file: Path) -> tuple[int, int]:
    """Height and width of the pictures that a network takes."""
    if not file.is_file():
        raise PoseError(f"HANDFIRST_RTMLIB: expected a folder with {' and '.join(RTM_FILES)}, no {file.name} there")
    shape = import_onnxruntime().InferenceSession(str(file), providers=["CPUExecutionProvider"]).get_inputs()[0].shape
    if len(shape) != 4 or not all(isinstance(size, int) for size in shape[2:]):
        raise PoseError(f"{file}: expected a network of pictures of one size, got an input of {shape}")
    return shape[2], shape[3]


def hand_likeness(picture: Picture, wanted: Sequence[Points]) -> float:
    """How well MediaPipe sees wanted hands in a picture uint8 RGB [H, W, 3], 0 .. 1; 0 where it sees none.

    Of every wanted hand it is the best that one of those seen comes to: how sure MediaPipe is of it, times how near its
    points are to the wanted ones (`nearness`). Of several wanted hands it is the mean.

    Args:
        wanted: float64 [21, 2] each, in the picture's pixels, NaN where a point is not known; none: any hand will do,
            and the surest one counts.

    Raises:
        PoseError: MediaPipe is not installed.
    """
    size, found = picture.shape[1::-1], _hands(picture)
    sure = [float(each.classification[0].score) for each in found.multi_handedness or ()]
    seen = [_points(hand, size) for hand in found.multi_hand_landmarks or ()]
    if not sure or not len(wanted):
        return max(sure, default=0.0)
    best = [max(s * nearness(points, each) for s, points in zip(sure, seen, strict=True)) for each in wanted]
    return sum(best) / len(best)


NEAR = 0.1
"""Of a hand's longer side: how far from where it should be a point counts exp(-1/2), about .6."""


def nearness(points: Points, wanted: Points) -> float:
    """Mean over the known points k of exp(-(d_k / (NEAR s))^2 / 2): d_k how far the two are apart, s the longer side of
    the wanted points' box. The form is that of COCO's key point similarity, with one spread for all points.

    Args:
        points: float64 [21, 2].
        wanted: the same, NaN where a point is not known.
    """
    known = np.isfinite(wanted).all(1)
    if not known.any():
        return 0.0
    side = max(float(np.ptp(wanted[known], 0).max()), 1.0)  # two points in one place are no hand to measure by
    apart = np.linalg.norm(points[known] - wanted[known], axis=1) / (NEAR * side)
    return float(np.exp(-(apart**2) / 2).mean())


def hand_points(picture: Picture) -> tuple[Points, ...]:
    """The 21 points [21, 2] of every hand that MediaPipe sees in a picture uint8 RGB [H, W, 3], in its pixels.

    Raises:
        PoseError: MediaPipe is not installed.
    """
    size, found = picture.shape[1::-1], _hands(picture).multi_hand_landmarks
    return tuple(_points(hand, size) for hand in found or ())


def _points(hand: Any, size: tuple[int, ...]) -> Points:
    return np.array([(each.x, each.y) for each in hand.landmark]) * size


def _hands(picture: Picture) -> Any:
    """What MediaPipe Hands says of a picture; unlike `detect` it needs no body around a hand."""
    hands = solutions().hands
    with hands.Hands(static_image_mode=True, max_num_hands=2, min_detection_confidence=0.5) as network:
        return network.process(enlarged(picture))
