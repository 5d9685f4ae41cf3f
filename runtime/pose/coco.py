"""COCO-WholeBody's annotations, and the results of detectors that describe a person in the same manner.

An annotation has keypoints (17 points) and may have foot_kpts (6), face_kpts (68), lefthand_kpts and righthand_kpts
(21 each). MMPose, RTMPose, AlphaPose and TensorFlow.js write keypoints alone, of more points, with keypoint_scores
beside them or a confidence in each; the number of points says which skeleton it is. An older pose editor writes
{width, height, keypoints} with 18 points for each person. Scores below 0.3 mean missing where a detector gave them.
Where points carry names, or a category or a data set's description names them, the names decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.confidence import SCORES, SURE, Table, joined, plausible
from handfirst.runtime.pose.landmarks import BODY_AND_FEET, is_hand
from handfirst.runtime.pose.marks import POSE_MARKS
from handfirst.runtime.pose.names import BODY_NAMES, Order, names_of, told_order
from handfirst.runtime.pose.numbers import expect_shape, numbers
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.points import Found, attempt, crowd, depth, only, placed, table
from handfirst.runtime.pose.topology import (
    BODY,
    DWPOSE_134,
    FACE,
    FEET,
    LEFT_HAND,
    OPENPOSE_18,
    OPENPOSE_25,
    POINTS,
    RIGHT_HAND,
)

PARTS = (
    ("keypoints", BODY, 17),
    ("foot_kpts", FEET, 6),
    ("face_kpts", FACE, 68),
    ("lefthand_kpts", LEFT_HAND, 21),
    ("righthand_kpts", RIGHT_HAND, 21),
)
_HALPE_26 = (*range(17), None, None, None, 17, 20, 18, 21, 19, 22)
"""Head, neck and hips, which COCO lacks; big toes, small toes and heels, the left one first."""
_MARKS = {mark: point for point, mark in BODY_AND_FEET.items()}
SKELETONS: dict[int, Order] = {
    17: tuple(range(17)),
    18: OPENPOSE_18,
    23: tuple(range(23)),
    25: OPENPOSE_25,
    26: _HALPE_26,
    POSE_MARKS: tuple(_MARKS.get(mark) for mark in range(POSE_MARKS)),
    133: tuple(range(POINTS)),
    134: DWPOSE_134,
    136: (*_HALPE_26, *range(FACE.start, POINTS)),
}
"""Number of points -> COCO-WholeBody's index of each: COCO, OpenPose, COCO with feet, BODY_25, Halpe, BlazePose,
COCO-WholeBody, DWPose, Halpe's full body."""
NAMES = "keypoint_names"
"""Where frames.py puts what a file says elsewhere that the keypoints are called, in their order."""


def is_coco(data: Any) -> bool:
    """Whether the JSON or the arrays look like it."""
    if not isinstance(data, dict):
        return False
    return isinstance(data.get("instances"), list) or any(data.get(name) is not None for name, _, _ in PARTS)


def find_coco(data: dict[str, Any]) -> Found:
    """All people.

    Args:
        data: parsed JSON or arrays for which is_coco is true: one annotation, or `instances`, a list of them.

    Raises:
        PoseError: far too many people.
    """
    listed = data.get("instances")
    instances = listed if isinstance(listed, list) else [data]
    found = Found([])
    for i, instance in enumerate(crowd(instances)):
        if isinstance(instance, dict) and is_coco(instance):
            if NAMES in data:
                instance = {NAMES: data[NAMES]} | instance
            for each in attempt(found.lost, _single_people, instance) or []:
                found.people.append(_person(each, f"annotation {i + 1}", found))
        elif instance is not None:
            found.lost.append(f"annotation {i + 1}: expected an object with keypoints, got {str(instance)[:40]!r}")
    return found


def write_coco(pose: Pose) -> dict[str, Any]:
    """A whole annotation file of one image; visibility 2 for all that is known, so confidences are lost.

    The box of a person is that of its known points.
    """
    annotations = [_annotation(person.table, i + 1) for i, person in enumerate(pose.people)]
    return {
        "images": [{"id": 1, "file_name": "pose.png", "width": pose.width, "height": pose.height}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "supercategory": "person"}],
    }


def _single_people(instance: dict[str, Any]) -> list[dict[str, Any]]:
    """One object per person: the keypoints of several may stand in one list or array."""
    points, scores = instance.get("keypoints"), _scores(instance)
    if points is None or depth(points) != 3:
        return [instance]
    if scores is not None and (depth(scores) != 2 or len(scores) != len(points)):
        raise PoseError(f"expected scores of {len(points)} people, as there are keypoints; is it another format?")
    rest = {name: value for name, value in instance.items() if name not in SCORES}
    return [
        {**rest, "keypoints": each} | ({} if scores is None else {"scores": scores[i]}) for i, each in enumerate(points)
    ]


def _scores(instance: dict[str, Any]) -> Any:
    return only(instance, SCORES)[1]


def _person(instance: dict[str, Any], who: str, found: Found) -> Table:
    """[133, 3]; a part that cannot be read costs no other."""
    out = attempt(found.lost, _keypoints, instance, who, found.notes)
    if out is None:
        out = np.zeros((POINTS, 3))
    for name, where, count in PARTS[1:]:
        points = attempt(found.lost, table, instance.get(name), (count,), f"{who}, {name}")
        if points is not None and len(points):
            out[where] = points
    return out


def _keypoints(instance: dict[str, Any], who: str, notes: list[str]) -> Table:
    if is_hand(instance):
        raise PoseError(f"{who}: 21 points are a hand, and nothing says which; add its handedness")
    points, order = body_points(instance.get("keypoints"), SKELETONS, f"{who}, keypoints", notes, instance.get(NAMES))
    scores = _scores(instance)
    if scores is not None and len(points):
        points[:, 2] = joined(points[:, 2], _flat_scores(scores, len(points), who), who)
    if scores is not None or instance.get("score") is not None:
        points[points[:, 2] < SURE, 2] = 0
    return placed(points, order)


def body_points(
    value: Any, orders: Mapping[int, Order], what: str, notes: list[str], names: Any = None
) -> tuple[Table, Order]:
    """[K, 3], and where in COCO-WholeBody each of the points belongs: their number says it, or their names do.

    Args:
        value: in any spelling of `table`.
        orders: by the number of points.
        names: what the points are called where they carry no names themselves.

    Raises:
        PoseError: neither says it, they contradict each other, or a point cannot be read.
    """
    own = names_of(value)
    count = len(value) if own is not None else 0
    points = table(value, (*orders, count) if count else tuple(orders), what)
    if own is None and isinstance(names, list) and len(names) == len(points):
        own = [name if isinstance(name, str) else "" for name in names]
    order = told_order(own, BODY_NAMES, orders.get(len(points)), what, notes) if len(points) else ()
    if order is None:
        raise PoseError(f"{what}: expected {' or '.join(map(str, orders))} points, got {len(points)}")
    return points, order


def _flat_scores(scores: Any, count: int, who: str) -> NDArray[np.float64]:
    flat = numbers(scores, 1, f"{who}, scores")
    expect_shape(flat, (count,), f"{who}, scores")
    return plausible(flat, f"{who}, scores")


def _annotation(rows: NDArray[np.float64], number: int) -> dict[str, Any]:
    rows[:, 2] = 2 * (rows[:, 2] > 0)
    x, y, w, h = _box(rows)
    out: dict[str, Any] = {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0}
    out |= {"bbox": [x, y, w, h], "area": w * h, "num_keypoints": int((rows[BODY, 2] > 0).sum())}
    out |= {key: rows[where].ravel().tolist() for key, where, _ in PARTS}
    for name, where in (("face", FACE), ("lefthand", LEFT_HAND), ("righthand", RIGHT_HAND)):
        out |= {f"{name}_box": _box(rows[where]), f"{name}_valid": bool(rows[where, 2].any())}
    return out | {"foot_valid": bool(rows[FEET, 2].any())}


def _box(rows: NDArray[np.float64]) -> list[float]:
    """x, y, width, height around the known points; zeros without any."""
    known = rows[rows[:, 2] > 0, :2]
    return [*known.min(0).tolist(), *np.ptp(known, 0).tolist()] if len(known) else [0.0] * 4
