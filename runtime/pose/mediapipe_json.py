"""MediaPipe's results as JSON: Holistic's, with its names for the parts, those of Hands, and those of MediaPipe Tasks.

Holistic: {pose_landmarks (33), face_landmarks (468 or 478), left_hand_landmarks, right_hand_landmarks (21)}; Hands:
{multi_hand_landmarks, multi_handedness}. A part is {"landmark": [...]}, as protobuf's MessageToDict writes it, or the
list alone; a landmark is {x, y, z, visibility} or [x, y, z, visibility] in units of the picture's sides. The names may
be in camel case, as in a browser. MediaPipe does not say how large the picture is.

Tasks: HandLandmarkerResult {hand_landmarks, handedness}, PoseLandmarkerResult {pose_landmarks}, FaceLandmarkerResult
and HolisticLandmarkerResult. All list such parts, one per hand or person, but for Holistic's in Python; in JavaScript
hands and bodies are both called `landmarks`. World landmarks are not read.

Hands takes every picture for a mirrored one and so calls a right hand "Left". Holistic names sides as they are, and so
do Tasks since 0.10.5; before, they named them as Hands does, which shows in the label's index.
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
HANDS = ("multi_hand_landmarks", "multiHandLandmarks", "hand_landmarks", "handLandmarks")
HANDEDNESS = ("multi_handedness", "multiHandedness", "handedness", "handednesses")
BARE = "landmarks"
"""What a browser calls hands, which come with their handedness, and bodies, which do not."""
NAMES = ("label", "category_name", "categoryName")
SWAPPED = ((0, "Left"), (1, "Right"))
"""Index and label as Tasks paired them before 0.10.5. The index is the network's, which has not changed."""
FAR = 10.0
"""Landmarks that mostly lie beyond ten times the picture are pixels."""


def is_mediapipe(data: Any) -> bool:
    """Whether the JSON looks like it."""
    names = {*HOLISTIC, *HOLISTIC.values(), *HANDS, BARE}
    return isinstance(data, dict) and not names.isdisjoint(data)


def read_mediapipe(data: Any, size: tuple[int, int] | None, mirrored: bool = False) -> Pose:
    """One person with all parts, or several bodies, faces or hands, the first left with the first right hand and so on.

    Args:
        data: parsed JSON for which is_mediapipe is true.
        size: (width, height) of the picture in pixels; None: the file must say it (width, height), which is ours.
        mirrored: of hands with handedness: the picture was flipped before MediaPipe saw it; the points are flipped
            back, and the sides are those of the true hands.

    Raises:
        PoseError: wrong counts, wrong values, no size, parts of several people that nothing tells apart.
    """
    bodies, faces, *sides = _parts(data)
    hands = _hands(data, mirrored)
    if mirrored and (bodies or faces or any(sides) or not _has_hands(data)):
        raise PoseError("only hands with handedness can be flipped back, and the file holds more; drop --mirrored")
    parts = [bodies, faces, *(side + more for side, more in zip(sides, hands, strict=True))]
    count = max(len(part) for part in parts)
    if count > 1 and sum((bool(bodies), bool(faces), any(parts[2:]))) > 1:
        raise PoseError("which bodies, faces and hands belong together is not in the file; save one person at a time")
    people = [joined(*(part[i] if i < len(part) else None for part in parts)) for i in range(count)]
    warned = ("which hands belong together is not in the file: they are paired in its order",)
    width, height = named_size(data, size)
    return Pose(
        tuple(Person.of(rows * (width, height, 1)) for rows in people),
        width,
        height,
        warned if count > 1 and any(parts[2:]) else (),
    )


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


def _has_hands(data: dict[str, Any]) -> bool:
    """Whether there are hands beside Holistic's, which need their handedness."""
    bare = data.get(BARE)
    looks = isinstance(bare, list) and bool(bare) and isinstance(bare[0], list) and len(bare[0]) == HAND_MARKS
    return any(name in data for name in HANDS) or (BARE in data and (looks or _first(data, HANDEDNESS)[0] is not None))


def _parts(data: dict[str, Any]) -> list[list[Marks]]:
    """Bodies, faces, left and right hands under Holistic's names."""
    bare = (BARE,) if BARE in data and not _has_hands(data) else ()
    names = [(name, camel, *(bare if name == "pose_landmarks" else ())) for name, camel in HOLISTIC.items()]
    return [_several(_first(data, each)[1], counts, each[0]) for each, counts in zip(names, COUNTS, strict=True)]


def _several(part: Any, counts: tuple[int, ...], what: str) -> list[Marks]:
    """A part, or a list of them."""
    first = part[0] if isinstance(part, list) and part else None
    listed = (
        "landmark" in first
        if isinstance(first, dict)
        else isinstance(first, list) and (not first or isinstance(first[0], dict | list))
    )
    found = [_marks(each, counts, what) for each in (part if listed else [part])]
    return [marks for marks in found if marks is not None]


def _hands(data: dict[str, Any], mirrored: bool) -> tuple[list[Marks], list[Marks]]:
    """Left and right ones."""
    found: dict[Side, list[Marks]] = {"left": [], "right": []}
    if not _has_hands(data):
        return found["left"], found["right"]
    name, hands = _first(data, (*HANDS, BARE))
    labelled, labels = _first(data, HANDEDNESS)
    if not isinstance(hands, list) or not isinstance(labels, list) or len(hands) != len(labels):
        wanted = labelled or ("multi_handedness" if name in HANDS[:2] else "handedness")
        raise PoseError(f"expected as many {wanted} as {name or HANDS[0]}, in two lists; save both")
    for i, (hand, label) in enumerate(zip(hands, labels, strict=True)):
        marks = _marks(hand, (HAND_MARKS,), f"hand {i + 1}")
        if marks is not None:
            if mirrored:
                marks = marks * (-1, 1, 1) + (1, 0, 0)
            right = _looks_right(label, labelled in HANDEDNESS[:2], f"hand {i + 1}")
            found[SIDES[right != mirrored]].append(marks)
    return found["left"], found["right"]


def _first(data: dict[str, Any], names: tuple[str, ...]) -> tuple[str | None, Any]:
    """The first of these that is there, if possible not empty, and what it holds; else None and an empty list."""
    there = sorted((name for name in names if name in data), key=lambda name: not data[name])
    return (there[0], data[there[0]] or []) if there else (None, [])


def _looks_right(label: Any, mirror: bool, who: str) -> bool:
    """Whether it is a right hand in the picture that MediaPipe saw.

    Args:
        label: what MediaPipe says.
        mirror: whether what says so takes every picture for a mirrored one.
        who: for the message.
    """
    if isinstance(label, dict):
        label = label.get("classification", label)
    if isinstance(label, list):
        label = label[0] if label else None
    index = None
    if isinstance(label, dict):
        index, label = label.get("index"), next((label[name] for name in NAMES if name in label), None)
    if label not in ("Left", "Right"):
        raise PoseError(f'{who}: expected the label "Left" or "Right", got {str(label)[:40]!r}')
    swapped = mirror or (index, label) in SWAPPED
    return bool(label == ("Left" if swapped else "Right"))


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
