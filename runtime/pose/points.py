"""Points as files hold them: how they are spelt, which of them are missing, in which units they are.

Every reader hands over what it found as it stands in the file; here it becomes pixels, by one rule for all formats.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.numbers import number_or_gap
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.topology import BODY, FACE, FEET, LEFT_HAND, RIGHT_HAND

Table = NDArray[np.float64]
"""[K, 3] of x, y, confidence."""
Units = Literal["told by the numbers", "fractions", "pixels"]

PARTS = (slice(BODY.start, FEET.stop), FACE, LEFT_HAND, RIGHT_HAND)
"""What comes from a network of its own each, so that its units are judged by itself."""
FRACTIONS = 2.0
"""Half of a part's points lie within twice the canvas's sides: fractions. No part is two pixels large."""
FAR = 10.0
"""The same where fractions are the rule: MediaPipe and DWPose guess at what is far outside the picture."""
SIGNED = 0.25
"""As many points with a negative coordinate: the units run from -1 to 1, with 0 in the middle of the canvas."""
CONFIDENCES = ("score", "confidence", "visibility", "v", "c")
SIZES = (("canvas_width", "canvas_height"), ("width", "height"), ("image_width", "image_height"), ("W", "H"))

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Found:
    """What a reader found in one frame of a file.

    Attributes:
        people: [133, 3] each, x, y and confidence as they stand in the file, zeros where a point is not there.
        size: what the file says of the canvas's width and height, not looked at; None: nothing.
        units: of x and y; "fractions" are of the canvas's sides, but for parts that are clearly in pixels.
        lost: a line per part that could not be read.
        notes: a line per guess that was made.
    """

    people: list[Table]
    size: tuple[Any, Any] | None = None
    units: Units = "told by the numbers"
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def attempt(lost: list[str], read: Callable[P, T], *args: P.args, **named: P.kwargs) -> T | None:
    """What `read` gives; None, and its message in `lost`, if it raises PoseError."""
    try:
        return read(*args, **named)
    except PoseError as error:
        lost.append(str(error))
        return None


def said_size(data: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """What an object says of the width and height of its canvas, under any of the usual names."""
    for pair in SIZES:
        width, height = (data.get(name) for name in pair)
        if width is not None and height is not None:
            return _single(width), _single(height)
    return None


def _single(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def depth(value: Any) -> int:
    """How many lists stand around the first point or number: 0 for a number or an object, 1 for a list of them."""
    if isinstance(value, np.ndarray):
        return value.ndim
    deep = 0
    while isinstance(value, list):
        deep, value = deep + 1, next((v for v in value if v is not None), None)
    return deep


def table(value: Any, counts: Collection[int], what: str) -> Table:
    """Points in any spelling -> [K, 3], NaN for what is null; None or an empty list -> [0, 3].

    x, y, confidence one after the other; x, y alone, which is confidence 1; a list of either; a list of objects
    {x, y, score}; an array.

    Raises:
        PoseError: K is none of `counts`, or a value is no ordinary number.
    """
    wanted = f"{what}: expected {' or '.join(map(str, counts))} points"
    if isinstance(value, np.ndarray):
        if value.size > 3 * max(counts) or value.ndim not in (1, 2):
            raise PoseError(f"{wanted}, got an array of {list(value.shape)}; is it another format?")
        value = value.tolist()
    if value is None or value == []:
        return np.zeros((0, 3))
    if not isinstance(value, list):
        raise PoseError(f"{wanted}, got {str(value)[:40]!r}; is it another format?")
    if any(isinstance(each, list | dict) for each in value):
        if len(value) not in counts:
            raise PoseError(f"{wanted}, got {len(value)}; is it another format?")
        return np.array([_point(each, what) for each in value])
    columns = next((n for n in (3, 2) for count in counts if len(value) == n * count), None)
    if columns is None:
        if len(value) in counts and all(each is None for each in value):
            return np.full((len(value), 3), np.nan)
        raise PoseError(f"{wanted} of x, y, confidence, got {len(value)} numbers; is it another format?")
    flat = np.array([number_or_gap(each, what) for each in value]).reshape(-1, columns)
    return flat if columns == 3 else np.column_stack([flat, np.ones(len(flat))])


def _point(value: Any, what: str) -> tuple[float, float, float]:
    if value is None or value == []:
        return np.nan, np.nan, 0.0
    if isinstance(value, dict):
        place = value.get("position", value)
        if not isinstance(place, dict) or not {"x", "y"} <= place.keys():
            raise PoseError(f"{what}: expected points {{x, y}}, got {str(value)[:40]!r}; mend the file")
        confidence = next((value[name] for name in CONFIDENCES if value.get(name) is not None), 1.0)
        value = [place["x"], place["y"], confidence]
    if not isinstance(value, list) or len(value) not in (2, 3):
        raise PoseError(f"{what}: expected points of x, y, confidence, got {str(value)[:40]!r}; mend the file")
    x, y = (number_or_gap(v, what) for v in value[:2])
    return x, y, number_or_gap(value[2], what) if len(value) == 3 else 1.0


def without_gaps(rows: Table) -> Table:
    """The same with NaN, NaN, 0 for every point that is missing, which programs write in many ways.

    Missing is: no confidence, a coordinate that is null or NaN, the corner (0, 0), a coordinate of exactly -1.
    """
    x, y, confidence = rows.T
    gap = ~np.isfinite(rows).all(1) | (confidence <= 0) | ((x == 0) & (y == 0)) | (x == -1) | (y == -1)
    return np.where(gap[:, None], (np.nan, np.nan, 0.0), rows)


def in_pixels(found: Found, size: tuple[int, int]) -> tuple[list[Table], list[str]]:
    """What was found, in pixels of a canvas of that width and height, without gaps; and what is worth a warning.

    Units are judged by the part and by most of its points, as one point outside the canvas says nothing, and as
    bodies and hands may come from two programs.
    """
    people = [without_gaps(rows) for rows in found.people]
    if found.units == "pixels":
        return people, []
    usual = found.units == "fractions"
    parts = [rows[part] for rows in people for part in PARTS if np.isfinite(rows[part, 0]).any()]
    small = [part for part in parts if _reach(part) <= (FAR if usual else FRACTIONS)]
    below = np.concatenate([(part[np.isfinite(part[:, 0]), :2] < 0).any(1) for part in small]) if small else np.zeros(0)
    signed = not usual and small and below.mean() >= SIGNED
    for part in small:
        part[:, :2] = (part[:, :2] + 1) / 2 * size if signed else part[:, :2] * size
    for part in parts:  # -1 times the canvas is -1 all the same
        part[:] = np.where((part[:, :2] == -np.array(size)).any(1)[:, None], (np.nan, np.nan, 0.0), part)
    notes = []
    if signed:
        notes.append("coordinates are read as running from -1 to 1, with 0 in the middle (OpenPose's keypoint_scale 4)")
    if 0 < len(small) < len(parts):
        notes.append("some parts are in fractions of the canvas and others in pixels: each is read as what it is")
    return people, notes


def in_fractions(pose: Pose) -> Pose:
    """A pose to be written to a file that does not say its units: parts that would be read as fractions, as such."""
    people = []
    for person in pose.people:
        points = person.points.copy()
        for part in PARTS:
            known = np.isfinite(points[part, 0])
            if known.any() and _reach(points[part]) <= FRACTIONS:
                points[part] /= (pose.width, pose.height)
        people.append(replace(person, points=points))
    return replace(pose, people=tuple(people))


def _reach(part: Table) -> float:
    """How far from the origin half of the known points lie, by their larger coordinate."""
    return float(np.median(np.abs(part[np.isfinite(part[:, 0]), :2]).max(1)))
