"""DWPose's raw arrays, and the dict of parts that its users pass on. As .npz or as JSON, never as a pickle.

Raw: keypoints [N, 134, 2] in pixels and scores [N, 134], or one array [N, 134, 3] (x, y, score). Order: OpenPose's 18
body points, 6 feet, 68 face, 21 left hand, 21 right hand.
Parts: bodies {candidate [18 N, 2], subset [N, 18]}, hands [2 N, 21, 2] (all left hands, then all right ones), faces
[N, 68, 2], hands_score [2 N, 21], faces_score [N, 68], in units of the picture's sides. In a .npz file candidate and
subset stand beside the others.

DWPose's own rule is kept: a score below 0.3 means missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.confidence import SCORES, SURE, confident, joined, plausible
from handfirst.runtime.pose.numbers import expect_shape, numbers
from handfirst.runtime.pose.openpose import to_openpose
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.points import Found, attempt, crowd, only, placed
from handfirst.runtime.pose.topology import DWPOSE_134, FACE, LEFT_HAND, OPENPOSE_18, POINTS, RIGHT_HAND

RAW = len(DWPOSE_134)
"""COCO-WholeBody's points and the neck."""


def is_dwpose(data: Any) -> bool:
    """Whether the JSON or the arrays look like it."""
    if not isinstance(data, dict):
        return False
    if data.get("candidate") is not None or isinstance(data.get("bodies"), dict):
        return True
    return any(_people_of(data.get(name)) == RAW for name in ("keypoints", "arr_0"))


def find_dwpose(data: dict[str, Any]) -> Found:
    """All people.

    Args:
        data: parsed JSON or arrays for which is_dwpose is true.

    Raises:
        PoseError: wrong shapes or values of the bodies.
    """
    if data.get("candidate") is not None or isinstance(data.get("bodies"), dict):
        found = Found([], "fractions")
        found.people = list(_parts(data, found.lost))
        return found
    return Found([placed(person, DWPOSE_134) for person in crowd(_raw(data))])


def write_dwpose(pose: Pose) -> dict[str, NDArray[np.float64]]:
    """Raw arrays for a .npz file: keypoints, scores, and the canvas's width and height. Missing points are zeros."""
    people = [person.table for person in pose.people]
    rows = [to_openpose(whole, DWPOSE_134) for whole in people]
    table = np.array(rows).reshape(-1, RAW, 3)
    return {
        "keypoints": table[..., :2],
        "scores": table[..., 2],
        "width": np.array(float(pose.width)),
        "height": np.array(float(pose.height)),
    }


def _people_of(value: Any) -> int | None:
    """How many points the first person of raw arrays or lists has; RAW for an empty array, which says nothing else."""
    if isinstance(value, np.ndarray):
        return value.shape[-2] if value.ndim >= 2 and value.size else RAW if value.ndim == 3 else None
    if isinstance(value, list) and value and isinstance(value[0], list) and value[0] and isinstance(value[0][0], list):
        return len(value[0])
    return None


def _raw(data: dict[str, Any]) -> NDArray[np.float64]:
    """[N, 134, 3]; score 0 where missing."""
    key = "keypoints" if data.get("keypoints") is not None else "arr_0"
    points = _stack(data[key], 3, key)
    three = points.shape[2:] == (3,)
    said = only(data, SCORES)[1]
    if said is not None:
        scores = _stack(said, 2, "scores")
        if three and scores.shape == points.shape[:2]:
            scores = joined(points[..., 2], scores, key)
    else:
        scores = confident(points, key)[..., 2] if three else np.ones(points.shape[:2])
    if not points.size and not scores.size:
        return np.zeros((0, RAW, 3))
    expect_shape(points[..., :2], (None, RAW, 2), key)
    expect_shape(scores, (len(points), RAW), "scores")
    return _sure(points[..., :2], scores)


def _parts(data: dict[str, Any], lost: list[str]) -> NDArray[np.float64]:
    """[N, 133, 3] in units of the picture's sides; the feet are not in it."""
    bodies = data["bodies"] if isinstance(data.get("bodies"), dict) else data
    if bodies.get("candidate") is None or bodies.get("subset") is None:
        raise PoseError("expected the arrays candidate and subset of DWPose's bodies; is it another format?")
    subset = numbers(bodies["subset"], 2, "subset")
    count = len(crowd(subset))
    candidate = numbers(bodies["candidate"], 2, "candidate")
    expect_shape(subset, (None, 18), "subset")
    expect_shape(candidate, (18 * count, 2), "candidate")
    body = _sure(candidate.reshape(count, 18, 2), np.where(subset >= 0, 1.0, 0.0))
    out = np.array([placed(person, OPENPOSE_18) for person in body]).reshape(count, POINTS, 3)
    faces = attempt(lost, _part, data, "faces", count, 68)
    hands = attempt(lost, _part, data, "hands", 2 * count, 21)
    if faces is not None:
        out[:, FACE] = faces
    if hands is not None:
        out[:, LEFT_HAND], out[:, RIGHT_HAND] = hands[:count], hands[count:]
    return out


def _part(data: dict[str, Any], name: str, count: int, points: int) -> NDArray[np.float64]:
    if data.get(name) is None:
        return np.zeros((count, points, 3))
    places = numbers(data[name], 3, name)
    expect_shape(places, (count, points, 2), name)
    scores = np.ones((count, points))
    if data.get(f"{name}_score") is not None:
        scores = numbers(data[f"{name}_score"], 2, f"{name}_score")
        expect_shape(scores, (count, points), f"{name}_score")
    return _sure(places, scores)


def _sure(points: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, K, 2] and [N, K] -> [N, K, 3], score 0 where it is below SURE.

    Raises:
        PoseError: scores that are percents.
    """
    scores = plausible(scores, "scores")
    return np.concatenate([points, np.where(scores >= SURE, scores, 0)[..., None]], -1)


def _stack(value: Any, ndim: int, what: str) -> NDArray[np.float64]:
    """An array of `ndim` axes; one person's alone may lack the first."""
    if isinstance(value, list) and not value:
        return np.zeros((0,) * ndim)
    flat = isinstance(value, np.ndarray) and value.ndim == ndim - 1
    return numbers(value[None] if flat else value, ndim, what)
