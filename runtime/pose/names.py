"""Points that carry their names: the names tell which is which, not the order. Tables of the names that programs use.

"left_eye", "leftEye", "LEFT EYE" and "LEye" are one name. MMPose, TensorFlow.js, MediaPipe, OpenPose and InterHand2.6M
use these. Names that contradict the order and do not tell another are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.topology import FINGERS, SIDES

FIELDS = ("name", "part", "label", "keypoint", "joint", "id", "index")
"""Where an object says which point it is; the last two as a number, too."""

Order = tuple[int | None, ...]
"""Of points: where each of them belongs; None: nowhere."""

_PAIRS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_SHORT = {"shoulder": ("sho",), "elbow": ("elb",), "wrist": ("wri",), "ankle": ("ank",)}
_FEET = (("bigtoe", "footindex"), ("smalltoe",), ("heel",))
_LACKING = ("neck", "head", "headtop", "midhip", "pelvis", "root", "hip", "thorax", "spine", "upperneck", "background")
_LACKING_PAIRS = ("eyeinner", "eyeouter", "pinky", "index", "thumb", "hand", "foot")
_FINGERS = (
    ("thumb",), ("index", "indexfinger", "forefinger"), ("middle", "middlefinger"), ("ring", "ringfinger"),
    ("pinky", "pinkyfinger", "little", "littlefinger"),
)  # fmt: skip
_JOINTS = (("cmc", "mcp", "ip", "tip"), *(4 * [("mcp", "pip", "dip", "tip")]))


def _sided(part: str, side: str) -> tuple[str, ...]:
    return f"{side}{part}", f"{side[0]}{part}", f"{part}{side}"


def _body() -> dict[str, int | None]:
    names: dict[str, int | None] = dict.fromkeys(_LACKING) | {"nose": 0}
    for s, side in enumerate(SIDES):
        for p, part in enumerate(_PAIRS):
            for short in (part, *_SHORT.get(part, ())):
                names |= dict.fromkeys(_sided(short, side), 1 + 2 * p + s)
        for p, spelt in enumerate(_FEET):
            for part in spelt:
                names |= dict.fromkeys(_sided(part, side), 17 + 3 * s + p)
        for part in (*_LACKING_PAIRS, "mouth"):
            names |= dict.fromkeys(_sided(part, side))
    return names


def _hand() -> dict[str, int | None]:
    names: dict[str, int | None] = dict.fromkeys(("wrist", "root", "handroot"), 0)
    for finger, spelt, joints in zip(FINGERS, _FINGERS, _JOINTS, strict=True):
        for name in spelt:
            for k, (point, joint) in enumerate(zip(finger, joints, strict=True), 1):
                names |= {f"{name}{joint}": point, f"{name}{k}": point}
    sides = ("left", "right", "l", "r", "lefthand", "righthand")
    return names | {f"{side}{name}": point for side in sides for name, point in names.items()}


BODY_NAMES = _body()
"""COCO-WholeBody's index of body and feet; None for points that it lacks."""
HAND_NAMES = _hand()
"""Index of a hand's 21 points, with and without its side."""
MARK_NAMES: dict[str, int | None] = {
    name: mark for mark, name in enumerate((
        "nose", "lefteyeinner", "lefteye", "lefteyeouter", "righteyeinner", "righteye", "righteyeouter", "leftear",
        "rightear", "mouthleft", "mouthright", "leftshoulder", "rightshoulder", "leftelbow", "rightelbow", "leftwrist",
        "rightwrist", "leftpinky", "rightpinky", "leftindex", "rightindex", "leftthumb", "rightthumb", "lefthip",
        "righthip", "leftknee", "rightknee", "leftankle", "rightankle", "leftheel", "rightheel", "leftfootindex",
        "rightfootindex",
    ))
}  # fmt: skip
"""MediaPipe Pose's landmark."""


def names_of(points: Any) -> list[str] | None:
    """What the points of a list are called; None where they carry no names."""
    if not isinstance(points, list):
        return None
    names = [_name(point) if isinstance(point, dict) else "" for point in points]
    return names if any(names) else None


def told_order(
    names: list[str] | None, table: Mapping[str, int | None], usual: Order | None, what: str, notes: list[str]
) -> Order | None:
    """Where each of the points belongs: as their names tell; `usual` where they agree with it, or tell nothing.

    Args:
        names: of the points.
        table: of names as `plain` writes them.
        usual: where points of that number belong without names; None: that number says nothing.
        what: for the message.
        notes: gets a line where no name is known.

    Raises:
        PoseError: the names contradict `usual` and tell no other order: some are unknown, or two are the same.
    """
    known = [plain(name) for name in names or ()]
    if not any(name in table for name in known):
        if any(name and not name.isdigit() for name in known):
            notes.append(f"{what}: the points' names are unknown, and so they are read in their order")
        return usual
    pairs = list(zip(known, usual, strict=True)) if usual is not None and len(usual) == len(known) else []
    if pairs and all(table[name] == place for name, place in pairs if name in table):
        return usual
    places = [table[name] for name in known if name in table]
    there = [place for place in places if place is not None]
    if len(places) < len(known) or len(set(there)) < len(there):
        odd = next((name for name, each in zip(names or (), known, strict=True) if each not in table), None)
        reason = f"{odd[:40]!a} is unknown" if odd is not None else "one stands twice"
        raise PoseError(f"{what}: the points' names are not in the usual order and tell no other ({reason})")
    return tuple(places)


def in_order(points: Any, table: Mapping[str, int | None], what: str) -> Any:
    """A list of points that carry all their names or numbers, as many as `table` has places, in its order.

    Raises:
        PoseError: the names contradict the order and tell no other.
    """
    if not isinstance(points, list):
        return points
    count = len({place for place in table.values() if place is not None})
    usual = tuple(range(len(points)))
    order = told_order(names_of(points), table, usual, what, []) if len(points) == count else usual
    return _put(points, order or usual)


def by_number(points: Any) -> Any:
    """A list of points in the order of the numbers that they carry, from 0 or from 1; as it is without such."""
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        return points
    for field in FIELDS[-2:]:
        numbers = [point.get(field) for point in points]
        if all(type(number) is int for number in numbers) and numbers:
            least = min(numbers)
            if least in (0, 1) and sorted(numbers) == list(range(least, least + len(numbers))):
                return _put(points, tuple(number - least for number in numbers))
    return points


def plain(name: str) -> str:
    """Lower case letters and digits alone."""
    return re.sub("[^a-z0-9]", "", name.lower())


def _put(points: list[Any], order: Order) -> list[Any]:
    out = list(points)
    for point, place in zip(points, order, strict=True):
        if place is not None:
            out[place] = point
    return out


def _name(point: Mapping[str, Any]) -> str:
    found = (point.get(field) for field in FIELDS)
    return next((name for name in found if isinstance(name, str) and name.strip()), "")
