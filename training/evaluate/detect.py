"""MediaPipe looks at pictures: whole people, hands in the whole picture, single parts (the `eval` extra).

Three questions per picture, each as its paper asks it:

- key points: Holistic, for DAP and MPJPE of "Giving a Hand to Diffusion Models". One person per picture.
- hands: Hand1000's HAND-CONF: Hands on the whole picture, at most 2, at detection confidence 0.
- parts: RealisHuman's Det.Conf: Hands and Face Detection on crops around true hands and faces, at confidence .5.
  Its code is not published; that the crops are made from the true points is a decision of ours.

The scores of hands are MediaPipe's handedness scores: it gives no others. Knows nothing about metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.geometry import Similarity
from handfirst.runtime.pose.landmarks import FINDABLE, whole_body
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.photo import enlarged, solutions
from handfirst.runtime.pose.topology import SIDES
from handfirst.training.evaluate.average_precision import box_area
from handfirst.training.evaluate.cases import Case
from handfirst.training.evaluate.detections import Detections, Found, FoundHand, FoundPart, FoundPerson
from handfirst.training.evaluate.pictures import read_picture

CONFIDENCE = 0.5
Image = NDArray[np.uint8]


class Detector:
    """A context manager: MediaPipe's graphs are opened once and closed at the end."""

    def __enter__(self) -> Detector:
        mediapipe = solutions()
        with ExitStack() as opened:
            self._holistic = opened.enter_context(
                mediapipe.holistic.Holistic(
                    static_image_mode=True,
                    model_complexity=1,
                    min_detection_confidence=CONFIDENCE,
                )
            )
            self._hands = opened.enter_context(_hands(mediapipe, 0.0))
            self._hand = opened.enter_context(_hands(mediapipe, CONFIDENCE))
            self._face = opened.enter_context(
                mediapipe.face_detection.FaceDetection(model_selection=0, min_detection_confidence=CONFIDENCE)
            )
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def __call__(self, image: Image, pose: Pose | None) -> Found:
        """image uint8 RGB [H, W, 3]; `pose`, if it is known, says where the parts are."""
        height, width = image.shape[:2]
        seen = enlarged(image)
        points = whole_body(self._holistic.process(seen), width, height)
        truth = () if pose is None else pose.fit(width, height).people
        return Found(
            width=width,
            height=height,
            people=() if points is None else (_person(points),),
            hands=tuple(self._whole_hands(seen)),
            parts=tuple(part for person in truth for part in self._parts(image, person)),
        )

    def _whole_hands(self, image: Image) -> Iterator[FoundHand]:
        for hand in self._hands.process(image).multi_handedness or ():
            # MediaPipe Hands names sides as in a mirror
            side = SIDES[hand.classification[0].label == "Left"]
            yield FoundHand(score=_score(hand.classification[0].score), side=side)

    def _parts(self, image: Image, person: Person) -> Iterator[FoundPart]:
        for side in SIDES:
            if person.has_hand(side):
                found = self._hand.process(cut(image, person.hand(side))[0]).multi_handedness or ()
                yield FoundPart(part=f"{side} hand", score=_best(hand.classification[0].score for hand in found))
        if box_area(person.face) > 0:
            found = self._face.process(cut(image, person.face)[0]).detections or ()
            yield FoundPart(part="face", score=_best(face.score[0] for face in found))


def _hands(mediapipe: Any, confidence: float) -> Any:
    return mediapipe.hands.Hands(
        static_image_mode=True, max_num_hands=2, model_complexity=1, min_detection_confidence=confidence
    )


def _person(points: NDArray[np.float64]) -> FoundPerson:
    """Holistic has no score for a person: the mean visibility of the 17 body points stands for it."""
    rows = [(round(float(x), 2), round(float(y), 2), round(_score(v), 4)) for x, y, v in points]
    return FoundPerson(score=_score(points[:17, 2].mean()), points=tuple(rows))


def _score(value: float) -> float:
    return float(np.clip(value, 0, 1))


def _best(scores: Any) -> float | None:
    return max((_score(score) for score in scores), default=None)


def detect_all(cases: Sequence[Case], advance: Callable[[int, int], None]) -> Detections:
    """Looks at every case's picture; `advance` is told how many of how many are done.

    Raises:
        UserError: a picture cannot be read, or MediaPipe is not installed.
    """
    found = {}
    with Detector() as detector:
        for i, case in enumerate(cases):
            found[case.key] = detector(read_picture(case.picture, case.key), case.pose)
            advance(i + 1, len(cases))
    return Detections(detector=f"MediaPipe {version('mediapipe')} Holistic", points=FINDABLE, pictures=found)


MARGIN = 2.2
"""Side of the square in units of the points' extent: MediaPipe wants to see some wrist and some background."""


def square_around(points: NDArray[np.float64], size: int = 256, margin: float = MARGIN) -> Similarity:
    """Picture pixels -> pixels of a square of `size` around points.

    Args:
        points: [K, 2] in pixels (pixel i centred at i + .5), NaN = missing, at least one known.
        size: side of the square's own picture.
        margin: side of the square in units of the points' extent.
    """
    low, high = np.nanmin(points, 0), np.nanmax(points, 0)
    side = margin * max(1.0, float((high - low).max()))
    return Similarity(size / side, *(size / 2 - size / side * (low + high) / 2).tolist())


def cut_out(image: NDArray[np.uint8], to_crop: Similarity, size: int = 256) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] -> [size, size, 3]; where the square leaves the picture, the picture's edge goes on."""
    matrix = np.array(
        [
            [to_crop.scale, 0, to_crop.dx + to_crop.scale / 2 - 0.5],
            [0, to_crop.scale, to_crop.dy + to_crop.scale / 2 - 0.5],
        ]
    )
    square = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(square, np.uint8)


def cut(
    image: NDArray[np.uint8], points: NDArray[np.float64], size: int = 256
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The square around points, uint8 [size, size, 3], and the points in it, [K, 2]; see `square_around`, `cut_out`."""
    to_crop = square_around(points, size)
    return cut_out(image, to_crop, size), to_crop.apply(points)
