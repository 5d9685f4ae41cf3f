"""OpenPose's people: JSON of OpenPose itself, and the export of the A1111 and ComfyUI editors, which share its lists.

{"people": [{pose_keypoints_2d (18 or 25 points), face_keypoints_2d (70 or 68), hand_left_keypoints_2d (21),
hand_right_keypoints_2d (21)}]}, each a flat list x, y, confidence. Editors add canvas_width and canvas_height, write
null for absent parts and may give coordinates in [0, 1]; ComfyUI wraps the object in a list, one per frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.numbers import canvas_size, triples, visible
from handfirst.runtime.pose.openpose_rows import openpose_rows
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.topology import FACE, LEFT_HAND, OPENPOSE_18, OPENPOSE_25, POINTS, RIGHT_HAND


def is_openpose(data: Any) -> bool:
    """Whether the JSON looks like it, a list of frames included."""
    frame = data[0] if isinstance(data, list) and data else data
    return isinstance(frame, dict) and isinstance(frame.get("people"), list)


def read_openpose(data: Any, size: tuple[int, int] | None) -> Pose:
    """The first frame's people.

    Args:
        data: parsed JSON for which is_openpose is true.
        size: (width, height) of the canvas in pixels; None: the file must name it.

    Raises:
        PoseError: wrong counts, wrong values, no canvas size.
    """
    warnings = []
    if isinstance(data, list):
        if len(data) > 1:
            warnings.append(f"the file has {len(data)} frames; only the first is read")
        data = data[0]
    raw = [_points(person, f"person {i + 1}") for i, person in enumerate(data["people"])]
    width, height = _canvas(data, size)
    if "canvas_width" in data and raw and _normalised(raw):
        for points in raw:
            points[:, :2] *= (width, height)
    people = tuple(Person(points[:, :2], points[:, 2]) for points in raw)
    return Pose(people, width, height, tuple(warnings))


def write_openpose(pose: Pose) -> dict[str, Any]:
    """As OpenPose itself writes it: BODY_25, so that feet are kept, 70 face points (pupils unknown), pixels.

    The size of the canvas is lost, and confidences are at most 1.
    """
    people = [_person(rows, OPENPOSE_25, []) for rows in (person.rows for person in pose.people)]
    return {"version": 1.3, "people": people}


def write_a1111(pose: Pose) -> dict[str, Any]:
    """As the editors export it: 18 body points, confidence 1 for all that is known, null for absent parts, the canvas.

    Feet and confidences are lost.
    """
    tables = [person.rows for person in pose.people]
    if tables and np.abs([rows[:, :2] for rows in tables]).max() <= 1:
        tables = [rows / (pose.width, pose.height, 1) for rows in tables]  # else it would be read as such
    for rows in tables:
        rows[:, 2] = rows[:, 2] > 0
    people = [_person(rows, OPENPOSE_18, None) for rows in tables]
    return {"people": people, "animals": [], "canvas_width": pose.width, "canvas_height": pose.height}


def _person(rows: NDArray[np.float64], order: tuple[int | None, ...], absent: list[float] | None) -> dict[str, Any]:
    parts = {
        "pose_keypoints_2d": openpose_rows(rows, order),
        "face_keypoints_2d": np.concatenate([rows[FACE], np.zeros((2, 3))]),
        "hand_left_keypoints_2d": rows[LEFT_HAND],
        "hand_right_keypoints_2d": rows[RIGHT_HAND],
    }
    return {
        name: (part.clip(max=(np.inf, np.inf, 1)).ravel().tolist() if part[:, 2].any() else absent)
        for name, part in parts.items()
    }


def _canvas(data: dict[str, Any], size: tuple[int, int] | None) -> tuple[int, int]:
    if size is not None:
        return size
    if data.get("canvas_width") is None or data.get("canvas_height") is None:
        raise PoseError("the file does not say how large its canvas is; add --size WIDTHxHEIGHT")
    return canvas_size(data["canvas_width"], data["canvas_height"], "canvas")


def _points(person: Any, who: str) -> NDArray[np.float64]:
    """[133, 3] in the file's own units, NaN where missing."""
    if not isinstance(person, dict):
        raise PoseError(f"{who}: expected an object with pose_keypoints_2d, got {type(person).__name__}")
    out = np.zeros((POINTS, 3))
    body = person.get("pose_keypoints_2d")
    order = OPENPOSE_25 if isinstance(body, list) and len(body) == 75 else OPENPOSE_18
    for point, index in zip(triples(body, len(order), f"{who}, pose_keypoints_2d"), order, strict=True):
        if index is not None:
            out[index] = point
    face = person.get("face_keypoints_2d")
    count = 68 if isinstance(face, list) and len(face) == 204 else 70  # 70: two pupils at the end
    out[FACE] = triples(face, count, f"{who}, face_keypoints_2d")[:68]
    for key, where in (("hand_left_keypoints_2d", LEFT_HAND), ("hand_right_keypoints_2d", RIGHT_HAND)):
        out[where] = triples(person.get(key), 21, f"{who}, {key}")
    return visible(out)


def _normalised(people: list[NDArray[np.float64]]) -> bool:
    """Editors write [0, 1] or pixels without saying which: all coordinates up to 1 mean the former."""
    values = np.concatenate([points[:, :2] for points in people])
    return bool(np.isfinite(values).any() and np.nanmax(np.abs(values)) <= 1)
