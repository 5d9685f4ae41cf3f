"""OpenPose's people: JSON of OpenPose itself, and what the A1111 and ComfyUI editors and AlphaPose write in its manner.

{"people": [{pose_keypoints_2d (18 or 25 points), face_keypoints_2d (70 or 68), hand_left_keypoints_2d (21),
hand_right_keypoints_2d (21)}]}, each a list x, y, confidence, flat or point by point. Editors add canvas_width and
canvas_height and write null for absent parts. Coordinates are pixels, fractions of the canvas, or run from -1 to 1;
which, the file does not say. OpenPose 1.0 wrote the names without _2d; AlphaPose's --format cmu writes
{"bodies": [{"joints"}]}.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.coco import body_points
from handfirst.runtime.pose.confidence import Table
from handfirst.runtime.pose.names import Order
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.points import Found, attempt, crowd, holds, only, placed, table
from handfirst.runtime.pose.topology import (
    FACE,
    HIPS,
    LEFT_HAND,
    OPENPOSE_18,
    OPENPOSE_25,
    POINTS,
    RIGHT_HAND,
    SHOULDERS,
)

ORDERS: dict[int, Order] = {18: OPENPOSE_18, 25: OPENPOSE_25}
PARTS = (
    ("face_keypoints", FACE, (70, 68)),  # 70: two pupils at the end
    ("hand_left_keypoints", LEFT_HAND, (21,)),
    ("hand_right_keypoints", RIGHT_HAND, (21,)),
)


def is_openpose(data: Any) -> bool:
    """Whether the JSON looks like it."""
    if not isinstance(data, dict):
        return False
    return isinstance(data.get("people", 0), list | None) or isinstance(data.get("bodies"), list)


def find_openpose(data: dict[str, Any]) -> Found:
    """All people.

    Args:
        data: parsed JSON for which is_openpose is true.

    Raises:
        PoseError: far too many people.
    """
    found = Found([])
    lists = [data[name] for name in ("people", "bodies") if isinstance(data.get(name), list) and data[name]]
    if len(lists) > 1 and lists[0] != lists[1]:
        found.notes.append("beside 'people' the file holds 'bodies', which is not read")
    for i, person in enumerate(crowd(next(iter(lists), []))):
        who = f"person {i + 1}"
        if isinstance(person, dict):
            found.people.append(_person(person, who, found))
        elif person is not None:
            found.lost.append(f"{who}: expected an object with pose_keypoints_2d, got {type(person).__name__}")
    return found


def write_openpose(pose: Pose) -> dict[str, Any]:
    """As OpenPose itself writes it: BODY_25, so that feet are kept, 70 face points (pupils unknown), pixels.

    The size of the canvas is lost, and confidences are at most 1.
    """
    return {"version": 1.3, "people": [_written(person.table, OPENPOSE_25, []) for person in pose.people]}


def write_a1111(pose: Pose) -> dict[str, Any]:
    """As the editors export it: 18 body points, confidence 1 for all that is known, null for absent parts, the canvas.

    Feet and confidences are lost.
    """
    tables = [np.column_stack([person.table[:, :2], person.table[:, 2] > 0]) for person in pose.people]
    people = [_written(rows, OPENPOSE_18, None) for rows in tables]
    return {"people": people, "animals": [], "canvas_width": pose.width, "canvas_height": pose.height}


def to_openpose(rows: Table, order: tuple[int | None, ...]) -> Table:
    """rows [133, 3] of x, y, score (zeros: missing) -> [len(order), 3] in the order of topology.OPENPOSE_18 or _25.

    The neck and the middle of the hips, which COCO lacks, are halfway between two points, as sure as the less sure one.
    """
    made = iter((_middle(rows[list(SHOULDERS)]), _middle(rows[list(HIPS)])))
    return np.stack([next(made) if index is None else rows[index] for index in order])


def _person(person: dict[str, Any], who: str, found: Found) -> Table:
    """[133, 3]; a part that cannot be read costs no other."""
    out = attempt(found.lost, _body, person, who, found.notes)
    if out is None:
        out = np.zeros((POINTS, 3))
    for name, where, counts in PARTS:
        points = attempt(found.lost, _part, person, name, counts, who)
        if points is not None and len(points):
            out[where] = points[: where.stop - where.start]
    return out


def _body(person: dict[str, Any], who: str, notes: list[str]) -> Table:
    name, value = only(person, ("pose_keypoints_2d", "pose_keypoints"))
    orders: dict[int, Order] = ORDERS
    if not holds(value) and "joints" in person:
        name, value, orders = "joints", person["joints"], {18: OPENPOSE_18}
    return placed(*body_points(value, orders, f"{who}, {name}", notes))


def _part(person: dict[str, Any], name: str, counts: tuple[int, ...], who: str) -> Table:
    spelt, value = only(person, (f"{name}_2d", name))
    return table(value, counts, f"{who}, {spelt}")


def _written(rows: NDArray[np.float64], order: tuple[int | None, ...], absent: list[float] | None) -> dict[str, Any]:
    parts = {
        "pose_keypoints_2d": to_openpose(rows, order),
        "face_keypoints_2d": np.concatenate([rows[FACE], np.zeros((2, 3))]),
        "hand_left_keypoints_2d": rows[LEFT_HAND],
        "hand_right_keypoints_2d": rows[RIGHT_HAND],
    }
    return {
        name: (part.clip(max=(np.inf, np.inf, 1)).ravel().tolist() if part[:, 2].any() else absent)
        for name, part in parts.items()
    }


def _middle(pair: Table) -> Table:
    sure = pair[:, 2].min()
    return np.array([*pair[:, :2].mean(0), sure]) if sure > 0 else np.zeros(3)
