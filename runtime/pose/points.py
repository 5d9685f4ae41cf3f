"""Points as files hold them: how they are spelt, which of them are missing, in which units they are.

Every reader hands over what it found as it stands in the file; here it becomes pixels, by one rule for all formats.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.confidence import Table, confident, located, odd_confidences
from handfirst.runtime.pose.names import HAND_NAMES, by_number, in_order
from handfirst.runtime.pose.numbers import number_or_gap
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.topology import BODY, FACE, FEET, LEFT_HAND, POINTS, RIGHT_HAND

Units = Literal["told by the numbers", "fractions", "pixels"]

PARTS = (slice(BODY.start, FEET.stop), FACE, LEFT_HAND, RIGHT_HAND)
"""What comes from a network of its own each, so that its units are judged by itself."""
FRACTIONS = 2.0
"""Half of a part's points lie within twice the canvas's sides: fractions. No part is two pixels large."""
FAR = 10.0
"""The same where fractions are the rule: MediaPipe and DWPose guess at what is far outside the picture."""
SIGNED = 0.25
"""As many points with a negative coordinate: the units run from -1 to 1, with 0 in the middle of the canvas."""
CONFIDENCES = ("score", "confidence", "visibility", "v", "c", "conf", "prob", "probability", "likelihood", "presence")
SCALES = (100.0, 1000.0)
"""Coordinates of some programs run to these on every canvas."""
MOST_PEOPLE = 1000
HAND_POINTS = LEFT_HAND.stop - LEFT_HAND.start

P = ParamSpec("P")
T = TypeVar("T")
Several = TypeVar("Several", bound=Sized)


@dataclass
class Found:
    """What a reader found in one frame of a file.

    Attributes:
        people: [133, 3] each, x, y and confidence as they stand in the file, zeros where a point is not there.
        units: of x and y; "fractions" are of the canvas's sides, but for parts that are clearly in pixels.
        lost: a line per part that could not be read.
        notes: a line per guess that was made.
    """

    people: list[Table]
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


def crowd(people: Several) -> Several:
    """The same.

    Raises:
        PoseError: more than MOST_PEOPLE.
    """
    if len(people) > MOST_PEOPLE:
        raise PoseError(f"expected at most {MOST_PEOPLE} people in a picture, got {len(people)}; is it a pose?")
    return people


def only(data: Mapping[str, Any], names: Sequence[str]) -> tuple[str | None, Any]:
    """The first of several names for one thing, if possible with something in it, and what it holds; else None twice.

    Raises:
        PoseError: two of them hold different things.
    """
    there = [name for name in names if data.get(name) is not None]
    full = [name for name in there if holds(data[name])] or there
    for other in full[1:]:
        if not _same(data[full[0]], data[other]):
            raise PoseError(f"'{full[0]}' and '{other}' are two names for one thing and differ; keep one of them")
    return (full[0], data[full[0]]) if full else (None, None)


def holds(value: Any) -> bool:
    """Whether there is something in it: no null, no empty list, object, text or array."""
    if isinstance(value, np.ndarray):
        return bool(value.size)
    return value is not None and not (isinstance(value, list | dict | str) and not value)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)


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
    {x, y, score}, in the order of their numbers, hands' in that of their names; an array.

    Raises:
        PoseError: K is none of `counts`, a value is no ordinary number, or the third column is no confidence.
    """
    return confident(_table(value, counts, what), what)


def _table(value: Any, counts: Collection[int], what: str) -> Table:
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
        value = by_number(value)
        if len(value) == HAND_POINTS:
            value = in_order(value, HAND_NAMES, what)
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
        said = [value[name] for name in CONFIDENCES if name in value] or [1.0]
        confidence = next((each for each in said if each is not None), None)
        value = [place["x"], place["y"], confidence]
    if not isinstance(value, list) or len(value) not in (2, 3):
        raise PoseError(f"{what}: expected points of x, y, confidence, got {str(value)[:40]!r}; mend the file")
    x, y = (number_or_gap(v, what) for v in value[:2])
    return x, y, number_or_gap(value[2], what) if len(value) == 3 else 1.0


def placed(points: Table, order: Sequence[int | None]) -> Table:
    """[len(order), 3] -> [133, 3]: each point where `order` says, zeros elsewhere; None: the point is left out."""
    out = np.zeros((POINTS, 3))
    for point, index in zip(points, order, strict=True):
        if index is not None:
            out[index] = point
    return out


def without_gaps(rows: Table) -> Table:
    """The same with NaN, NaN, 0 for every point that is missing, which programs write in many ways.

    Missing is: no confidence, a coordinate that is null or NaN, the corner (0, 0), a coordinate of exactly -1.
    """
    known = located(rows) & (rows[:, 2] > 0)
    return np.where(known[:, None], rows, (np.nan, np.nan, 0.0))


def in_pixels(found: Found, size: tuple[int, int]) -> tuple[list[Table], list[str]]:
    """What was found, in pixels of a canvas of that width and height, without gaps; and what is worth a warning.

    Units are judged by the part and by most of its points, as one point outside the canvas says nothing, and as
    bodies and hands may come from two programs.
    """
    people = [without_gaps(rows) for rows in found.people]
    notes = odd_confidences(found.people, people)
    if found.units == "pixels":
        return people, notes
    usual = found.units == "fractions"
    parts = [rows[part] for rows in people for part in PARTS if np.isfinite(rows[part, 0]).any()]
    small = [part for part in parts if _reach(part) <= (FAR if usual else FRACTIONS)]
    below = np.concatenate([(part[np.isfinite(part[:, 0]), :2] < 0).any(1) for part in small]) if small else np.zeros(0)
    signed = not usual and small and below.mean() >= SIGNED
    for part in small:
        part[:, :2] = (part[:, :2] + 1) / 2 * size if signed else part[:, :2] * size
    for part in parts:  # -1 times the canvas is -1 all the same
        part[:] = np.where((part[:, :2] == -np.array(size)).any(1)[:, None], (np.nan, np.nan, 0.0), part)
    if signed:
        notes.append("coordinates are read as running from -1 to 1, with 0 in the middle (OpenPose's keypoint_scale 4)")
    if 0 < len(small) < len(parts):
        notes.append("some parts are in fractions of the canvas and others in pixels: each is read as what it is")
    if parts and not small:
        notes += _another_scale(parts, size)
    return people, notes


def _another_scale(parts: list[Table], size: tuple[int, int]) -> list[str]:
    """A note if nothing lies beyond 100, or 1000, on a canvas that is more than twice as large."""
    points = np.concatenate([part[np.isfinite(part[:, 0]), :2] for part in parts])
    most = next((scale for scale in SCALES if points.max() <= scale), None)
    if most is None or points.min() < 0 or min(size) <= 2 * most:
        return []
    return [
        f"no coordinate is above {most:g} on a canvas of {size[0]} x {size[1]}: they are read as pixels, and if they "
        f"run from 0 to {most:g}, divide them by {most:g}"
    ]


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
