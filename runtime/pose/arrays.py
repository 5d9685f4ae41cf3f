"""Arrays in NumPy's files: this project's own people, and two hands as InterHand2.6M and FoundHand-10M lay them out.

Our own .npz file: people [P, 133, 3] and the canvas's width and height; nothing is lost in it. A row is x, y in pixels
and a score, in COCO-WholeBody's order; NaN, NaN, 0 where a point is missing. The bare array, as a .npy file, is read.

Two hands, 42 points: right hand first, left hand after it; no body.
InterHand2.6M: each finger from its tip to its base, thumb to pinky, the wrist last. [42, 2] or [42, 3], or a .npz file
with joint_valid [42] beside it. A third column of zeros and ones says which points are valid, any other is depth and
not read.
FoundHand-10M: a .npz file with kpts [42, 2] in OpenPose's order (wrist first, base to tip) and hand_mask [H, W].
A bare array does not say which it is: the caller must.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.numbers import expect_shape, numbers
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.points import Found, crowd
from handfirst.runtime.pose.topology import LEFT_HAND, POINTS, RIGHT_HAND

JOINTS = 42
RIGHT, LEFT = slice(0, 21), slice(21, 42)
INTERHAND_TO_HAND = np.array([20, *(4 * finger + joint for finger in range(5) for joint in (3, 2, 1, 0))])
"""Wrist first and base to tip, as indices into one hand's 21 joints of InterHand's order."""
HAND_TO_INTERHAND = np.argsort(INTERHAND_TO_HAND)


def is_own(data: Any) -> bool:
    """Whether the arrays look like our own file."""
    if not isinstance(data, dict):
        return False
    bare = data.get("arr_0")
    return isinstance(data.get("people"), np.ndarray) or (
        isinstance(bare, np.ndarray) and bare.ndim == 3 and bare.shape[1] == POINTS
    )


def find_own(data: dict[str, Any]) -> Found:
    """All people.

    Raises:
        PoseError: wrong shapes, wrong values.
    """
    people = numbers(data.get("people", data.get("arr_0")), 3, "people")
    expect_shape(people, (None, POINTS, 3), "people")
    return Found(list(crowd(people)), "pixels")


def write_own(pose: Pose) -> dict[str, NDArray[np.float64]]:
    """Arrays for a .npz file."""
    rows = [np.column_stack([person.points, person.scores]) for person in pose.people]
    return {
        "people": np.array(rows, np.float64).reshape(-1, POINTS, 3),
        "width": np.array(float(pose.width)),
        "height": np.array(float(pose.height)),
    }


def is_foundhand(data: Any) -> bool:
    """Whether the arrays look like it."""
    return isinstance(data, dict) and data.get("kpts") is not None


def has_42_points(data: Any) -> bool:
    """Whether a bare array or list could be either order of two hands."""
    value = data.get("arr_0") if isinstance(data, dict) else data
    if isinstance(value, np.ndarray):
        return value.ndim == 2 and len(value) == JOINTS
    if not isinstance(value, list) or len(value) != JOINTS:
        return False
    return all(isinstance(each, list) and len(each) in (2, 3) and not isinstance(each[0], dict) for each in value)


def find_foundhand(data: Any) -> Found:
    """One person with two hands.

    Raises:
        PoseError: wrong shapes, wrong values.
    """
    return _two_hands(_points(data, "kpts"), np.ones(JOINTS), np.arange(21))


def find_interhand(data: Any) -> Found:
    """One person with two hands, from arrays or a list.

    Raises:
        PoseError: wrong shapes, wrong values.
    """
    points = _points(data, "joints")
    valid = np.ones(JOINTS)
    if points.shape[1] == 3 and np.isin(points[:, 2], (0, 1)).all():
        valid = points[:, 2]
    if isinstance(data, dict) and data.get("joint_valid") is not None:
        valid = _valid(data["joint_valid"])
    return _two_hands(points, valid, INTERHAND_TO_HAND)


def write_interhand(pose: Pose) -> dict[str, NDArray[np.float64]]:
    """Arrays for a .npz file: joints [42, 2], joint_valid [42], width, height. Body, face and scores are lost.

    Raises:
        PoseError: more than one person.
    """
    if len(pose.people) > 1:
        raise PoseError(f"InterHand's arrays hold one person's hands, got {len(pose.people)}; choose another format")
    rows = pose.people[0].table if pose.people else np.zeros((POINTS, 3))
    joints = np.concatenate([rows[where][HAND_TO_INTERHAND] for where in (RIGHT_HAND, LEFT_HAND)])
    return {
        "joints": joints[:, :2],
        "joint_valid": (joints[:, 2] > 0).astype(np.float64),
        "width": np.array(float(pose.width)),
        "height": np.array(float(pose.height)),
    }


def _points(data: Any, name: str) -> NDArray[np.float64]:
    """[42, 2 or 3]: the array of that name, or the bare one."""
    value = data
    if isinstance(data, dict):
        value = data.get(name, data.get("arr_0"))
        if value is None:
            names = ", ".join(sorted(map(str, data)))[:60] or "none"
            raise PoseError(f"expected an array '{name}' of {JOINTS} points; the file has {names}")
    points = numbers(value, 2, name)
    expect_shape(points, (JOINTS, 3 if points.shape[1:] == (3,) else 2), name)
    return points


def _valid(value: Any) -> NDArray[np.float64]:
    """[42] out of 42 zeros and ones or a column of them; both are published."""
    nested = isinstance(value, list) and bool(value) and isinstance(value[0], list)
    column = value.ndim == 2 if isinstance(value, np.ndarray) else nested
    flags = numbers(value, 2 if column else 1, "joint_valid")
    expect_shape(flags, (JOINTS, 1) if column else (JOINTS,), "joint_valid")
    return flags.reshape(JOINTS)


def _two_hands(points: NDArray[np.float64], valid: NDArray[np.float64], order: NDArray[np.intp]) -> Found:
    known = (valid > 0) & np.isfinite(points[:, :2]).all(1) & (points[:, :2] != 0).any(1)
    rows = np.column_stack([points[:, :2], known])
    whole = np.zeros((POINTS, 3))
    whole[RIGHT_HAND], whole[LEFT_HAND] = rows[RIGHT][order], rows[LEFT][order]
    return Found([whole] if known.any() else [])
