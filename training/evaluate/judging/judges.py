"""Judges: what looks at a square around a hand, or at a picture with a face and a body, and says what it sees.

MediaPipe is the judge (`eval` extra). A second opinion comes from RTMDet and RTMPose through rtmlib, with ONNX files
that the user has; their adapter was run on made files of that layout only. Both learnt from photographs, so that every
figure of theirs is to be read beside that of the true renders. Knows nothing about truth or models.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.photo import solutions
from handfirst.runtime.pose.topology import FACE, SHOULDERS, SIDES, Side
from handfirst.training.evaluate.detect import CONFIDENCE, cut

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
Pair = tuple[float, float]
Twenty1 = Annotated[tuple[Pair, ...], Field(min_length=21, max_length=21)]
MOST_HANDS = 2
BODY_SIDE = 384  # pixels: what a picture is enlarged to before bodies are looked for
POSE_SHOULDERS = 11, 12  # of MediaPipe Pose's landmarks, in the order of SHOULDERS
SHOULDER_REACH = 0.5  # of the shoulders' width: how near both must be to their places


class SeenHand(BaseModel):
    """A hand that a judge sees in a square.

    Attributes:
        score: how sure it is, 0..1.
        side: whose hand it takes it for; None where it cannot tell.
        points: 21 x (x, y) in the square's pixels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    score: Annotated[float, Field(ge=0, le=1)]
    side: Side | None
    points: Twenty1

    def array(self) -> Points:
        """[21, 2]."""
        return np.array(self.points)


class Judge(Protocol):
    """Looks at pictures, one at a time, and remembers nothing of them."""

    @property
    def name(self) -> str:
        """What it is, with its version: figures of different names are not compared."""
        ...

    def hands(self, square: Image) -> tuple[SeenHand, ...]:
        """The hands in uint8 RGB [256, 256, 3], at most two."""
        ...

    def face(self, image: Image, points: Points) -> bool:
        """Whether there is a face in uint8 RGB [H, W, 3] where the true one is, points [68, 2], NaN = unknown."""
        ...

    def body(self, image: Image, shoulders: Points) -> bool:
        """Whether there is a body whose shoulders lie where the true ones do, [2, 2], left before right."""
        ...


class MediaPipeJudge:
    """MediaPipe Hands, Face Detection and Pose, each at confidence .5."""

    def __init__(self) -> None:
        mediapipe = solutions()
        self.name = f"MediaPipe {version('mediapipe')}"
        self._hands = mediapipe.hands.Hands(
            static_image_mode=True, max_num_hands=MOST_HANDS, model_complexity=1, min_detection_confidence=CONFIDENCE
        )
        self._face = mediapipe.face_detection.FaceDetection(model_selection=0, min_detection_confidence=CONFIDENCE)
        self._pose = mediapipe.pose.Pose(
            static_image_mode=True, model_complexity=1, min_detection_confidence=CONFIDENCE
        )

    def hands(self, square: Image) -> tuple[SeenHand, ...]:
        """The scores are those of handedness: it gives no others."""
        found = self._hands.process(np.ascontiguousarray(square))
        height, width = square.shape[:2]
        return tuple(
            SeenHand(
                score=_share(label.classification[0].score),
                # MediaPipe Hands names sides as in a mirror
                side=SIDES[label.classification[0].label == "Left"],
                points=tuple((mark.x * width, mark.y * height) for mark in marks.landmark),
            )
            for marks, label in zip(found.multi_hand_landmarks or (), found.multi_handedness or (), strict=True)
        )

    def face(self, image: Image, points: Points) -> bool:
        """In the square around the true face."""
        return bool(self._face.process(cut(image, points)[0]).detections)

    def body(self, image: Image, shoulders: Points) -> bool:
        """In the whole picture, enlarged."""
        height, width = image.shape[:2]
        scale = max(1.0, BODY_SIDE / max(height, width))
        large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        found = self._pose.process(np.ascontiguousarray(large)).pose_landmarks
        if found is None:
            return False
        marks = [found.landmark[i] for i in POSE_SHOULDERS]
        return in_reach(np.array([(mark.x * width, mark.y * height) for mark in marks]), shoulders)


RTM_FILES = {
    "hand_detector": "hand_detector.onnx",
    "hand": "hand.onnx",
    "whole_body": "whole_body.onnx",
}
"""What a folder for rtmlib holds: RTMDet-nano for hands, RTMPose of 21 points, RTMPose or RTMW of 133 points."""
SEEN = 0.3  # MMPose's usual limit for a point that is seen


class RtmlibJudge:
    """RTMDet finds hands, RTMPose their points; it does not tell sides. A face counts as found by its mean score.

    Args:
        folder: with RTM_FILES.

    Raises:
        UserError: a file is missing.
    """

    def __init__(self, folder: Path) -> None:
        if missing := [name for name in RTM_FILES.values() if not (folder / name).is_file()]:
            raise UserError(f"{folder}: expected {', '.join(RTM_FILES.values())}, no {missing[0]}; put it there")
        import rtmlib

        self.name = f"rtmlib {version('rtmlib')}"
        files = {role: str(folder / name) for role, name in RTM_FILES.items()}
        made: Mapping[str, Any] = {"hand_detector": rtmlib.RTMDet, "hand": rtmlib.RTMPose, "whole_body": rtmlib.RTMPose}
        with redirect_stdout(sys.stderr):  # it prints what it opens
            self._models = {
                role: made[role](file, model_input_size=_input_size(role, file), backend="onnxruntime", device="cpu")
                for role, file in files.items()
            }

    def hands(self, square: Image) -> tuple[SeenHand, ...]:
        """The boxes that the detector is sure of, and the points in them; scores are the points' mean."""
        bgr = np.ascontiguousarray(square[..., ::-1])  # rtmlib takes what OpenCV reads
        boxes = self._models["hand_detector"](bgr)[:MOST_HANDS]
        if not len(boxes):  # without a box RTMPose would take the whole picture for one
            return ()
        points, scores = self._models["hand"](bgr, bboxes=boxes)
        return tuple(
            SeenHand(score=_share(np.mean(s)), side=None, points=tuple((float(x), float(y)) for x, y in p))
            for p, s in zip(points, scores, strict=True)
        )

    def face(self, image: Image, points: Points) -> bool:
        """Where in the picture the true face is does not matter to it: there is one person."""
        _, scores = self._models["whole_body"](np.ascontiguousarray(image[..., ::-1]))
        return bool(np.mean(scores[0][FACE]) >= SEEN)

    def body(self, image: Image, shoulders: Points) -> bool:
        """Where both shoulders are seen."""
        points, scores = self._models["whole_body"](np.ascontiguousarray(image[..., ::-1]))
        at = list(SHOULDERS)
        return bool((scores[0][at] >= SEEN).all()) and in_reach(points[0][at], shoulders)


def _input_size(role: str, file: str) -> tuple[int, int]:
    """Of a detector height and width, of the others width and height: what rtmlib wants; a square one fits both."""
    import onnxruntime

    height, width = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).get_inputs()[0].shape[2:]
    return (int(height), int(width)) if role == "hand_detector" else (int(width), int(height))


def in_reach(found: Points, true: Points) -> bool:
    """Shoulders [2, 2], found and true: whether both lie within SHOULDER_REACH of the true ones' distance."""
    reach = SHOULDER_REACH * float(np.linalg.norm(true[0] - true[1]))
    return bool((np.linalg.norm(found - true, axis=1) <= reach).all())


def _share(value: Any) -> float:
    return float(np.clip(value, 0, 1))


NAMES = ("mediapipe", "rtmlib")
NO_MEDIAPIPE = (
    "mediapipe is not installed; in a fresh environment: pip install 'handfirst[cpu,eval]', then the same again"
)
NO_RTMLIB = "rtmlib is not installed; run: pip install --no-deps rtmlib"
NO_MODELS = f"no models for rtmlib; handfirst evaluate judge --rtmlib DIR, with {', '.join(RTM_FILES.values())} in it"


def open_judges(rtmlib: Path | None) -> tuple[dict[str, Judge], dict[str, str]]:
    """The judges that can be had here, by NAMES; and why the others cannot.

    Raises:
        UserError: a folder for rtmlib that lacks a file.
    """
    judges, absent = dict[str, Judge](), dict[str, str]()
    if find_spec("mediapipe"):
        judges["mediapipe"] = MediaPipeJudge()
    else:
        absent["mediapipe"] = NO_MEDIAPIPE
    if rtmlib is None:
        absent["rtmlib"] = NO_MODELS
    elif find_spec("rtmlib"):
        judges["rtmlib"] = RtmlibJudge(rtmlib)
    else:
        absent["rtmlib"] = NO_RTMLIB
    return judges, absent
