"""MediaPipe's results as JSON: Holistic's, with its names for the parts, and those of Hands.

Holistic: {pose_landmarks (33), face_landmarks (468 or 478), left_hand_landmarks, right_hand_landmarks (21)}; Hands:
{multi_hand_landmarks, multi_handedness}. A part is {"landmark": [...]}, as protobuf's MessageToDict writes it, or the
list alone; a landmark is {x, y, z, visibility} or [x, y, z, visibility] in units of the picture's sides. The names may
be in camel case, as in a browser. MediaPipe does not say how large the picture is.

Hands takes every picture for a mirrored one and so calls a right hand "Left". Holistic names sides as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.mediapipe_landmarks import (
    FACE_MARKS,
    HAND_MARKS,
    POSE_MARKS,
    VISIBLE,
    Marks,
    joined,
    parted,
)
from handfirst.runtime.pose.numbers import named_size, number
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.topology import SIDES, Side

HOLISTIC = {
    "pose_landmarks": "poseLandmarks", "face_landmarks": "faceLandmarks",
    "left_hand_landmarks": "leftHandLandmarks", "right_hand_landmarks": "rightHandLandmarks",
}  # fmt: skip
COUNTS = ((POSE_MARKS,), (FACE_MARKS, 478), (HAND_MARKS,), (HAND_MARKS,))
HANDS, HANDEDNESS = ("multi_hand_landmarks", "multiHandLandmarks"), ("multi_handedness", "multiHandedness")
FAR = 10.0
"""Landmarks that mostly lie beyond ten times the picture are pixels."""


def is_mediapipe(data: Any) -> bool:
    """Whether the JSON looks like it."""
    names = {*HOLISTIC, *HOLISTIC.values(), *HANDS}
    return isinstance(data, dict) and not names.isdisjoint(data)


def read_mediapipe(data: Any, size: tuple[int, int] | None, mirrored: bool = False) -> Pose:
    """One person of Holistic's, or the hands of Hands: the first left with the first right hand, and so on.

    Args:
        data: parsed JSON for which is_mediapipe is true.
        size: (width, height) of the picture in pixels; None: the file must say it (width, height), which is ours.
        mirrored: of Hands: the picture was flipped before MediaPipe saw it, so its names of the sides are right; the
            points are flipped back.

    Raises:
        PoseError: wrong counts, wrong values, no size.
    """
    people, warnings = _hands(data, mirrored) if any(name in data for name in HANDS) else (_holistic(data), ())
    if mirrored and not any(name in data for name in HANDS):
        raise PoseError("only MediaPipe Hands names mirrored sides, and the file is of Holistic; drop --mirrored")
    width, height = named_size(data, size)
    return Pose(tuple(Person.of(rows * (width, height, 1)) for rows in people), width, height, warnings)


def write_mediapipe(pose: Pose) -> dict[str, Any]:
    """Holistic's parts, and the picture's width and height. Landmarks that are not known have visibility 0.

    Small toes are lost, and confidences below 0.5 mean missing when the file is read.

    Raises:
        PoseError: more than one person, which Holistic does not know.
    """
    if len(pose.people) > 1:
        raise PoseError(f"MediaPipe's Holistic holds one person, got {len(pose.people)}; choose another format")
    out: dict[str, Any] = {"width": pose.width, "height": pose.height, **dict.fromkeys(HOLISTIC)}
    for person in pose.people:
        rows = person.rows / (pose.width, pose.height, 1)
        for name, marks in zip(HOLISTIC, parted(rows), strict=True):
            if marks[:, 2].any():
                out[name] = {"landmark": [_mark(*row) for row in marks.tolist()]}
    return out


def _mark(x: float, y: float, confidence: float) -> dict[str, float]:
    return {"x": x, "y": y, "z": 0.0, "visibility": min(confidence, 1.0)}


def _holistic(data: dict[str, Any]) -> list[Marks]:
    parts = [
        _marks(data.get(name, data.get(camel)), counts, name)
        for (name, camel), counts in zip(HOLISTIC.items(), COUNTS, strict=True)
    ]
    return [joined(*parts)] if any(part is not None for part in parts) else []


def _hands(data: dict[str, Any], mirrored: bool) -> tuple[list[Marks], tuple[str, ...]]:
    hands, labels = _first(data, HANDS), _first(data, HANDEDNESS)
    if not isinstance(hands, list) or not isinstance(labels, list) or len(hands) != len(labels):
        raise PoseError("expected as many multi_handedness as multi_hand_landmarks, in two lists; save both")
    found: dict[Side, list[Marks]] = {"left": [], "right": []}
    for i, (hand, label) in enumerate(zip(hands, labels, strict=True)):
        marks = _marks(hand, (HAND_MARKS,), f"hand {i + 1}")
        if marks is not None:
            if mirrored:
                marks = marks * (-1, 1, 1) + (1, 0, 0)
            found[_side(label, mirrored, f"hand {i + 1}")].append(marks)
    count = max(len(found[side]) for side in SIDES)
    pairs = [[found[side][i] if i < len(found[side]) else None for side in SIDES] for i in range(count)]
    warned = ("which hands belong together is not in the file: they are paired in its order",) if count > 1 else ()
    return [joined(None, None, *pair) for pair in pairs], warned


def _first(data: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The first of these that is there and not empty; else an empty list."""
    return next((data[name] for name in names if data.get(name)), [])


def _side(label: Any, mirrored: bool, who: str) -> Side:
    if isinstance(label, dict):
        label = label.get("classification", label)
    if isinstance(label, list):
        label = label[0] if label else None
    if isinstance(label, dict):
        label = label.get("label")
    if label not in ("Left", "Right"):
        raise PoseError(f'{who}: expected the label "Left" or "Right", got {str(label)[:40]!r}')
    return SIDES[(label == "Left") != mirrored]


def _marks(part: Any, counts: tuple[int, ...], what: str) -> Marks | None:
    """Rows x, y, confidence; confidence 0 below VISIBLE."""
    if isinstance(part, dict):
        part = part.get("landmark")
    if part is None or part == []:
        return None
    if not isinstance(part, list) or len(part) not in counts:
        got = f"{len(part)} landmarks" if isinstance(part, list) else type(part).__name__
        raise PoseError(f"{what}: expected {' or '.join(map(str, counts))} landmarks, got {got}")
    rows = np.array([_row(mark, what) for mark in part])
    if np.median(np.abs(rows[:, :2])) > FAR:
        raise PoseError(f"{what}: expected units of the picture's sides (0 to 1), got pixels; divide by its size")
    if not rows[:, 2].any():  # hands and faces have no visibility: absent, or zero throughout
        rows[:, 2] = 1
    rows[rows[:, 2] < VISIBLE, 2] = 0
    return rows


def _row(mark: Any, what: str) -> tuple[float, float, float]:
    if isinstance(mark, dict):
        mark = [mark.get("x"), mark.get("y"), 0, mark.get("visibility", 0)]
    if not isinstance(mark, list) or not 2 <= len(mark) <= 5:
        raise PoseError(f"{what}: expected landmarks {{x, y, z, visibility}}, got {str(mark)[:40]!r}")
    visibility = mark[3] if len(mark) > 3 and mark[3] is not None else 0
    return number(mark[0], what), number(mark[1], what), number(visibility, what)
