"""COCO-WholeBody annotations: one annotation, a list of them, or a whole annotation file with its images.

An annotation has keypoints (51 numbers) and may have foot_kpts (18), face_kpts (204), lefthand_kpts and
righthand_kpts (63 each); results look the same without images.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.numbers import canvas_size, triples, visible
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.topology import BODY, FACE, FEET, LEFT_HAND, POINTS, RIGHT_HAND

PARTS = (
    ("keypoints", BODY, 17),
    ("foot_kpts", FEET, 6),
    ("face_kpts", FACE, 68),
    ("lefthand_kpts", LEFT_HAND, 21),
    ("righthand_kpts", RIGHT_HAND, 21),
)


def is_coco(data: Any) -> bool:
    """Whether the JSON looks like it."""
    first = data[0] if isinstance(data, list) and data else data
    return isinstance(first, dict) and ("keypoints" in first or isinstance(first.get("annotations"), list))


def read_coco(data: Any, size: tuple[int, int] | None) -> Pose:
    """All annotations of one image: the file's first annotated one.

    Args:
        data: parsed JSON for which is_coco is true.
        size: (width, height) in pixels; None: the file's images must say it.

    Raises:
        PoseError: wrong counts, wrong values, no canvas size.
    """
    whole = data if isinstance(data, dict) and "annotations" in data else {}
    annotations = whole["annotations"] if whole else data if isinstance(data, list) else [data]
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise PoseError("annotations: expected objects with keypoints, got something else; is it another format?")
    warnings = []
    image = annotations[0].get("image_id") if annotations else _only(whole.get("images"))
    chosen = [a for a in annotations if a.get("image_id") == image]
    if len(chosen) < len(annotations):
        warnings.append(f"the file has annotations of several images; only image {image} is read")
    width, height = size or _size(whole.get("images"), image)
    people = []
    for i, annotation in enumerate(chosen):
        points = _points(annotation, f"annotation {i + 1}")
        people.append(Person(points[:, :2], points[:, 2]))
    return Pose(tuple(people), width, height, tuple(warnings))


def write_coco(pose: Pose) -> dict[str, Any]:
    """A whole annotation file of one image; visibility 2 for all that is known, so confidences are lost.

    The box of a person is that of its known points.
    """
    annotations = [_annotation(person.rows, i + 1) for i, person in enumerate(pose.people)]
    return {
        "images": [{"id": 1, "file_name": "pose.png", "width": pose.width, "height": pose.height}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "supercategory": "person"}],
    }


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


def _only(images: Any) -> Any:
    """The id of the one image of a file in which nobody is annotated."""
    return (
        images[0].get("id") if isinstance(images, list) and len(images) == 1 and isinstance(images[0], dict) else None
    )


def _size(images: Any, image: Any) -> tuple[int, int]:
    for entry in images if isinstance(images, list) else []:
        if isinstance(entry, dict) and entry.get("id") == image and "width" in entry and "height" in entry:
            return canvas_size(entry["width"], entry["height"], "image")
    raise PoseError("the file does not say how large its image is; add --size WIDTHxHEIGHT")


def _points(annotation: dict[str, Any], who: str) -> NDArray[np.float64]:
    out = np.zeros((POINTS, 3))
    for key, where, count in PARTS:
        out[where] = triples(annotation.get(key), count, f"{who}, {key}")
    return visible(out)
