"""MediaPipe's landmarks: which of COCO-WholeBody's points they are (decision A6.19), and the JSON they come in.

Holistic: {pose_landmarks (33), face_landmarks (468 or 478), left_hand_landmarks, right_hand_landmarks (21)}; Hands:
{multi_hand_landmarks, multi_handedness}. A part is {"landmark": [...]}, as protobuf's MessageToDict writes it, or the
list alone; a landmark is {x, y, z, visibility} or [x, y, z, visibility] in units of the picture's sides. The names may
be in camel case, as in a browser. MediaPipe does not say how large the picture is.

Tasks: HandLandmarkerResult {hand_landmarks, handedness}, PoseLandmarkerResult {pose_landmarks}, FaceLandmarkerResult
and HolisticLandmarkerResult. All list such parts, one per hand or person, but for Holistic's in Python; in JavaScript
hands and bodies are both called `landmarks`. World landmarks are not read.

TensorFlow.js: a list of hands, {keypoints (21, in pixels), handedness} each; others write {landmarks, handedness}.

Which hand is which is told by handedness.py. Small toes are not among the landmarks: 131 of the 133 points can be
found.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.handedness import Label, is_right, labels_of
from handfirst.runtime.pose.marks import BARE, FACE_MARKS, HAND_MARKS, POSE_MARKS, Marks, landmarks_of
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.points import Found, attempt, crowd, holds, only
from handfirst.runtime.pose.topology import FACE, LEFT_HAND, POINTS, RIGHT_HAND, SIDES, Side

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

HOLISTIC = {
    "pose_landmarks": "poseLandmarks", "face_landmarks": "faceLandmarks",
    "left_hand_landmarks": "leftHandLandmarks", "right_hand_landmarks": "rightHandLandmarks",
}  # fmt: skip
COUNTS = ((POSE_MARKS,), (FACE_MARKS, 478), (HAND_MARKS,), (HAND_MARKS,))
HANDS = ("multi_hand_landmarks", "multiHandLandmarks", "hand_landmarks", "handLandmarks")
HANDEDNESS = ("multi_handedness", "multiHandedness", "handedness", "handednesses")
HAND_POINTS = ("keypoints", "landmarks", "landmark")


def joined(pose: Marks | None, face: Marks | None, left: Marks | None, right: Marks | None) -> Marks:
    """Landmarks [33, 3], [468 or more, 3], [21, 3], [21, 3] (None: not found) -> [133, 3], rows kept, zeros elsewhere.

    A row is x, y in units of the picture's sides and a confidence. Hands need no table: both list the same order.
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


def is_hand(item: Any) -> bool:
    """Whether it is one hand of a list of hands: an object with 21 points in it."""
    if not isinstance(item, dict):
        return False
    points = next((item[name] for name in HAND_POINTS if item.get(name) is not None), None)
    return isinstance(points, list) and len(points) == HAND_MARKS and all(isinstance(p, dict | list) for p in points)


def is_mediapipe(data: Any) -> bool:
    """Whether the JSON looks like it."""
    if not isinstance(data, dict):
        return False
    names = {*HOLISTIC, *HOLISTIC.values(), *HANDS, BARE}
    return not names.isdisjoint(data) or _is_hand_list(data) or is_hand(data)


def find_mediapipe(data: dict[str, Any], mirrored: bool = False) -> Found:
    """One person with all parts, or several bodies, faces or hands, the first left with the first right hand and so on.

    Args:
        data: parsed JSON for which is_mediapipe is true.
        mirrored: of hands with handedness: the picture was flipped before MediaPipe saw it. The sides are those of
            the true hands; the points are the caller's to flip back.

    Raises:
        PoseError: parts of several people that nothing tells apart, or more than hands where they are to be flipped.
    """
    found = Found([], "fractions")
    if is_hand(data):
        data = {"instances": [data]}
    bodies, faces, *sides = _parts(data, found)
    hands = _hands(data, mirrored, found)
    more = any(holds(data.get(name)) for names in HOLISTIC.items() for name in names)
    if mirrored and (more or not (_has_hands(data) or _is_hand_list(data))):
        raise PoseError("only hands with handedness can be flipped back, and the file holds more; drop --mirrored")
    parts = [bodies, faces, *(side + hands[name] for side, name in zip(sides, SIDES, strict=True))]
    count = max(len(crowd(part)) for part in parts)
    if count > 1 and sum((bool(bodies), bool(faces), any(parts[2:]))) > 1:
        raise PoseError("which bodies, faces and hands belong together is not in the file; save one person at a time")
    if count > 1 and any(parts[2:]):
        found.notes.append("which hands belong together is not in the file: they are paired in its order")
    found.people = [joined(*(part[i] if i < len(part) else None for part in parts)) for i in range(count)]
    return found


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
        rows = person.table / (pose.width, pose.height, 1)
        body, face = np.zeros((POSE_MARKS, 3)), np.zeros((FACE_MARKS, 3))
        body[list(BODY_AND_FEET.values())] = rows[list(BODY_AND_FEET)]
        face[list(FACE_MESH)] = rows[FACE]
        for name, marks in zip(HOLISTIC, (body, face, rows[LEFT_HAND], rows[RIGHT_HAND]), strict=True):
            if marks[:, 2].any():
                out[name] = {"landmark": [_mark(*row) for row in marks.tolist()]}
    return out


def _mark(x: float, y: float, confidence: float) -> dict[str, float]:
    return {"x": x, "y": y, "z": 0.0, "visibility": min(confidence, 1.0)}


def _is_hand_list(data: dict[str, Any]) -> bool:
    instances = data.get("instances")
    return isinstance(instances, list) and any(is_hand(item) for item in instances)


def _has_hands(data: dict[str, Any]) -> bool:
    """Whether there are hands beside Holistic's, which need their handedness."""
    first = (data.get(BARE) or [None])[0] if isinstance(data.get(BARE), list) else None
    looks = isinstance(first, list) and len(first) == HAND_MARKS
    return any(name in data for name in HANDS) or (BARE in data and (looks or any(name in data for name in HANDEDNESS)))


def _parts(data: dict[str, Any], found: Found) -> list[list[Marks]]:
    """Bodies, faces, left and right hands under Holistic's names; one that cannot be read costs no other."""
    bare = (BARE,) if BARE in data and not _has_hands(data) else ()
    names = [(name, camel, *(bare if name == "pose_landmarks" else ())) for name, camel in HOLISTIC.items()]
    parts = []
    for each, counts in zip(names, COUNTS, strict=True):
        listed = _listed((attempt(found.lost, only, data, each) or (None, None))[1])
        read = [attempt(found.lost, landmarks_of, one, counts, each[0], found.notes) for one in listed]
        parts.append([marks for marks in read if marks is not None])
    return parts


def _listed(part: Any) -> list[Any]:
    """A part, or a list of them, as a list."""
    if part is None:
        return []
    first = part[0] if isinstance(part, list) and part else None
    several = (
        "landmark" in first
        if isinstance(first, dict)
        else isinstance(first, list) and (not first or isinstance(first[0], dict | list))
    )
    return part if several else [part]


def _hands(data: dict[str, Any], mirrored: bool, found: Found) -> dict[Side, list[Marks]]:
    """Left and right ones that come with their handedness."""
    sides: dict[Side, list[Marks]] = {"left": [], "right": []}
    for i, (hand, labels, scored) in enumerate(attempt(found.lost, _labelled, data) or []):
        who = f"hand {i + 1}"
        marks = attempt(found.lost, landmarks_of, hand, (HAND_MARKS,), who, found.notes, scored)
        right = attempt(found.lost, is_right, labels, who, found.notes)
        if marks is not None and right is not None:
            sides[SIDES[right != mirrored]].append(marks)
    return sides


def _labelled(data: dict[str, Any]) -> list[tuple[Any, list[Label], bool]]:
    """Hands, what is said of their sides, and whether a third column of their points is a confidence for sure."""
    if _is_hand_list(data):
        hands = [item for item in data["instances"] if is_hand(item)]
        names = [next(name for name in HAND_POINTS if item.get(name) is not None) for item in hands]
        return [
            (item[name], labels_of(item, name == "keypoints"), name == "keypoints")
            for item, name in zip(hands, names, strict=True)
        ]
    if not _has_hands(data):
        return []
    name, hands = only(data, (*HANDS, BARE))
    if not holds(hands):
        return []
    labelled, labels = only(data, HANDEDNESS)
    if not isinstance(hands, list) or not isinstance(labels, list) or len(hands) != len(labels):
        wanted = labelled or ("multi_handedness" if name in HANDS[:2] else "handedness")
        raise PoseError(f"expected as many {wanted} as {name or HANDS[0]}, in two lists; save both")
    mirror = labelled in HANDEDNESS[:2]
    return [(hand, [Label(label, mirror)], False) for hand, label in zip(hands, labels, strict=True)]
