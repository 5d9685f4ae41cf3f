"""DWPose's raw arrays, and the dict of parts that its users pass on. As .npz or as JSON, never as a pickle.

Raw: keypoints [N, 134, 2] in pixels and scores [N, 134], or one array [N, 134, 3] (x, y, score). Order: OpenPose's 18
body points, 6 feet, 68 face, 21 left hand, 21 right hand.
Parts: bodies {candidate [18 N, 2], subset [N, 18]}, hands [2 N, 21, 2] (all left hands, then all right ones), faces
[N, 68, 2], hands_score [2 N, 21], faces_score [N, 68], in units of the picture's sides, -1 where missing. In a .npz
file candidate and subset stand beside the others.

DWPose's own rule is kept: a score below 0.3 means missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.numbers import expect_shape, named_size, numbers
from handfirst.runtime.pose.openpose_rows import openpose_rows
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.topology import BODY, OPENPOSE_18, POINTS

RAW = POINTS + 1
"""COCO-WholeBody's points and the neck."""
SURE = 0.3


def is_dwpose(data: Any) -> bool:
    """Whether the JSON or the arrays look like it."""
    if not isinstance(data, dict):
        return False
    if "candidate" in data or isinstance(data.get("bodies"), dict) or {"keypoints", "scores"} <= data.keys():
        return True
    return isinstance(array := data.get("arr_0"), np.ndarray) and array.ndim >= 2 and array.shape[-2] == RAW


def read_dwpose(data: dict[str, Any], size: tuple[int, int] | None) -> Pose:
    """All people.

    Args:
        data: parsed JSON or arrays for which is_dwpose is true.
        size: (width, height) in pixels; None: the file must say it (width and height, or W and H).

    Raises:
        PoseError: wrong shapes, wrong values, no size.
    """
    if "candidate" in data or "bodies" in data:
        rows = _parts(data)
        size = named_size(data, size)
        rows[..., :2] *= size
    else:
        rows = _raw(data)
    width, height = named_size(data, size)
    return Pose(tuple(Person.of(_whole(person)) for person in rows), width, height)


def write_dwpose(pose: Pose) -> dict[str, NDArray[np.float64]]:
    """Raw arrays for a .npz file: keypoints, scores, and the canvas's width and height. Missing points are zeros."""
    people = [person.rows for person in pose.people]
    rows = [np.concatenate([openpose_rows(whole, OPENPOSE_18), whole[BODY.stop :]]) for whole in people]
    table = np.array(rows).reshape(-1, RAW, 3)
    return {
        "keypoints": table[..., :2],
        "scores": table[..., 2],
        "width": np.array(float(pose.width)),
        "height": np.array(float(pose.height)),
    }


def _raw(data: dict[str, Any]) -> NDArray[np.float64]:
    """[N, 134, 3]; score 0 where missing."""
    key = "keypoints" if "keypoints" in data else "arr_0"
    points = _stack(data[key], 3, key)
    if "scores" in data:
        scores = _stack(data["scores"], 2, "scores")
    else:
        scores = points[..., 2] if points.shape[2:] == (3,) else np.ones(points.shape[:2])
    if not points.size and not scores.size:
        return np.zeros((0, RAW, 3))
    expect_shape(points[..., :2], (None, RAW, 2), key)
    expect_shape(scores, (len(points), RAW), "scores")
    return _sure(points[..., :2], scores)


def _parts(data: dict[str, Any]) -> NDArray[np.float64]:
    """[N, 134, 3] in units of the picture's sides; the feet are not in it."""
    bodies = data.get("bodies", data)
    if not isinstance(bodies, dict) or "candidate" not in bodies or "subset" not in bodies:
        raise PoseError("expected the arrays candidate and subset of DWPose's bodies; is it another format?")
    subset = numbers(bodies["subset"], 2, "subset")
    count = len(subset)
    candidate = numbers(bodies["candidate"], 2, "candidate")
    expect_shape(subset, (None, 18), "subset")
    expect_shape(candidate, (18 * count, 2), "candidate")
    out = np.zeros((count, RAW, 3))
    out[:, :18] = _sure(candidate.reshape(count, 18, 2), np.where(subset >= 0, 1.0, 0.0))
    out[:, 24:92] = _part(data, "faces", count, 68)
    hands = _part(data, "hands", 2 * count, 21)
    out[:, 92:113], out[:, 113:] = hands[:count], hands[count:]
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
    """[N, K, 2] and [N, K] -> [N, K, 3], score 0 where it is below SURE or the point stands at (0, 0) or (-1, -1)."""
    nowhere = (points == 0).all(-1) | (points == -1).all(-1)
    return np.concatenate([points, np.where((scores >= SURE) & ~nowhere, scores, 0)[..., None]], -1)


def _stack(value: Any, ndim: int, what: str) -> NDArray[np.float64]:
    """An array of `ndim` axes; one person's alone may lack the first."""
    if isinstance(value, list) and not value:
        return np.zeros((0,) * ndim)
    flat = isinstance(value, np.ndarray) and value.ndim == ndim - 1
    return numbers(value[None] if flat else value, ndim, what)


def _whole(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """[134, 3] -> [133, 3]: the body in COCO's order, without the neck; the rest follows in the same order."""
    out = np.zeros((POINTS, 3))
    for point, index in zip(raw, OPENPOSE_18, strict=False):
        if index is not None:
            out[index] = point
    out[BODY.stop :] = raw[18:]
    return out
