"""This project's own .npz file: people [P, 133, 3] and the canvas's width and height. Nothing is lost in it.

The bare array, as a .npy file, is read too.

A row is x, y in pixels and a score, in COCO-WholeBody's order; NaN, NaN, 0 where a point is missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.numbers import expect_shape, named_size, numbers
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.topology import POINTS


def is_own(data: Any) -> bool:
    """Whether the arrays look like it."""
    if not isinstance(data, dict):
        return False
    bare = data.get("arr_0")
    return isinstance(data.get("people"), np.ndarray) or (
        isinstance(bare, np.ndarray) and bare.ndim == 3 and bare.shape[1] == POINTS
    )


def read_own(data: dict[str, Any], size: tuple[int, int] | None) -> Pose:
    """All people.

    Args:
        data: arrays for which is_own is true.
        size: (width, height) of the canvas in pixels; None: the file must say it.

    Raises:
        PoseError: wrong shapes, wrong values, no size.
    """
    people = numbers(data.get("people", data.get("arr_0")), 3, "people")
    expect_shape(people, (None, POINTS, 3), "people")
    width, height = named_size(data, size)
    return Pose(tuple(Person.of(rows) for rows in people), width, height)


def write_own(pose: Pose) -> dict[str, NDArray[np.float64]]:
    """Arrays for a .npz file."""
    rows = [np.column_stack([person.points, person.scores]) for person in pose.people]
    return {
        "people": np.array(rows, np.float64).reshape(-1, POINTS, 3),
        "width": np.array(float(pose.width)),
        "height": np.array(float(pose.height)),
    }
