"""Which parts of a photo are repaired, which are not, and why: from key points, or a pose picture, to crops.

Valid hands as RealisHuman's released code has them: 11 of 21 points with a score of .5, a box of 400 square pixels.
Hands whose squares meet share one. Knows nothing about how a part is repaired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import RequestError
from handfirst.runtime.geometry import connected
from handfirst.runtime.pose.crop import boxes_meet, hand_box
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.topology import FACE, HANDS, SIDES, Side
from handfirst.runtime.systems.part_refiner.crops import Crop, square
from handfirst.runtime.systems.part_refiner.masks import part_mask
from handfirst.runtime.systems.part_refiner.settings import Kind, KindSettings, PartSettings

SURE = 0.5
"""Score from which a point counts."""
ENOUGH: dict[Kind, int] = {"hand": 11, "face": 34}
"""Points that must count, of 21 and of 68."""
LEAST_AREA = 400.0
"""Square pixels of the box of those points."""
SMALL = 0.1
"""A part whose box is less of its shared crop's side than this comes out coarse."""

Wanted = Literal["left", "right"] | int | None
"""Which hands: all, those of a side, or one by its number from 1 in the order in which they are found."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A part that was looked at.

    Attributes:
        name: "hand-0-left", "face-0", or "hand-1" where no side is known.
        points: [N, 2] in the photo's pixels; None where a pose picture shows it.
        box: [x0, y0, x1, y1] of it.
        side: of a hand, where it is known.
    """

    kind: Kind
    name: str
    points: NDArray[np.float64] | None
    box: NDArray[np.float64]
    side: Side | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """What is repaired at once: one or more parts of a kind in one square."""

    kind: Kind
    seen: tuple[Seen, ...]
    crop: Crop

    @property
    def name(self) -> str:
        """Of this part of the picture: its seed is derived from it."""
        return "+".join(each.name for each in self.seen)


@dataclass(frozen=True, eq=False)
class Finding:
    """What was found.

    Attributes:
        parts: to be repaired, in the order in which they were found.
        lines: for people: how many there are, and why some are not repaired.
    """

    parts: tuple[Part, ...]
    lines: tuple[str, ...]


def find_parts(
    pose: Pose | None, pose_picture: NDArray[np.uint8] | None, wanted: Wanted, settings: PartSettings, width: int,
    height: int,
) -> Finding:  # fmt: skip
    """The parts of a photo of that size.

    Args:
        pose: in the photo's pixels; None: the pose picture alone tells where they are.
        pose_picture: uint8 [height, width, 3], or None.

    Raises:
        RequestError: `wanted` asks for a side where none is known, or for a number that there is not.
    """
    left: list[str] = []
    if pose is not None:
        found = [each for kind in settings.kinds for each in _of_pose(pose, kind, left)]
    else:
        assert pose_picture is not None
        found = _of_picture(pose_picture, settings)
    found = [each for each in found if _on_photo(each, width, height, left)]
    hands = [each for each in found if each.kind == "hand"]
    chosen = found if wanted is None else _chosen(hands, wanted, pose is None)
    parts = _together(chosen, settings)
    return Finding(parts, (*_counted(found, chosen, left, settings), *_doubts(parts, found, chosen, settings)))


def _of_pose(pose: Pose, kind: Kind, left: list[str]) -> list[Seen]:
    """All parts of a kind that can be told; a line in `left` for each that cannot, but is there."""
    seen = []
    for i, person in enumerate(pose.people):
        slices: list[tuple[str, slice, Side | None]] = (
            [(f"hand-{i}-{side}", HANDS[side], side) for side in SIDES]
            if kind == "hand"
            else [(f"face-{i}", FACE, None)]
        )
        for name, where, side in slices:
            points, scores = person.points[where], person.scores[where]
            sure = np.isfinite(points).all(1) & (scores >= SURE)
            if not np.isfinite(points).any():
                continue
            if sure.sum() < ENOUGH[kind]:
                left.append(f"{name}: {sure.sum()} of its {len(points)} points are sure, {ENOUGH[kind]} are needed")
                continue
            box = hand_box(points[sure])
            if (area := float(np.prod(box[2:] - box[:2]))) < LEAST_AREA:
                left.append(f"{name}: its box has {area:.0f} square pixels, {LEAST_AREA:.0f} are needed")
                continue
            seen.append(Seen(kind, name, points, box, side))
    return seen


def _of_picture(pose_picture: NDArray[np.uint8], settings: PartSettings) -> list[Seen]:
    """The connected parts that a pose picture shows; all are of the first kind that the model has."""
    kind = next(iter(settings.kinds))
    labels, areas = connected(part_mask(pose_picture, settings.kinds[kind].mask_threshold), 8)
    seen: list[Seen] = []
    for label in np.flatnonzero(areas >= LEAST_AREA).tolist():
        if label:
            rows, columns = np.nonzero(labels == label)
            box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float64)
            seen.append(Seen(kind, f"{kind}-{len(seen)}", None, box))
    return seen


def _on_photo(seen: Seen, width: int, height: int, left: list[str]) -> bool:
    if boxes_meet(seen.box, np.array([0.0, 0.0, width - 1e-6, height - 1e-6])):
        return True
    left.append(f"{seen.name}: it lies outside the photo")
    return False


def _chosen(hands: Sequence[Seen], wanted: Wanted, unsided: bool) -> list[Seen]:
    if isinstance(wanted, int):
        if not 1 <= wanted <= max(len(hands), 1):
            raise RequestError(
                f"hand: expected a number from 1 to {len(hands)}, the hands that are found; got {wanted}"
            )
        return list(hands[wanted - 1 : wanted])
    if unsided and hands:
        raise RequestError(
            f"hand: a pose picture tells no sides; expected a number from 1 to {len(hands)}, got {wanted}"
        )
    return [hand for hand in hands if hand.side == wanted]


def _together(seen: Sequence[Seen], settings: PartSettings) -> tuple[Part, ...]:
    """One part for all of a kind whose squares meet, until none do."""
    groups = [[each] for each in seen]

    def crop(group: Sequence[Seen]) -> Crop:
        boxes = np.stack([each.box for each in group])
        both = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
        return square(both, settings.kinds[group[0].kind].gap, settings.size)

    def meet(a: Sequence[Seen], b: Sequence[Seen]) -> bool:
        return a[0].kind == b[0].kind and boxes_meet(_edges(crop(a)), _edges(crop(b)))

    while pair := next(((i, j) for j in range(len(groups)) for i in range(j) if meet(groups[i], groups[j])), None):
        groups[pair[0]] += groups.pop(pair[1])
    return tuple(Part(group[0].kind, tuple(group), crop(group)) for group in groups)


def _edges(crop: Crop) -> NDArray[np.float64]:
    return np.array([crop.x, crop.y, crop.x + crop.side, crop.y + crop.side])


def _counted(found: Sequence[Seen], chosen: Sequence[Seen], left: Sequence[str], settings: PartSettings) -> list[str]:
    """How many there are and how many of them are repaired; a line for each that is not."""
    several = " or ".join(f"{kind}s" for kind in settings.kinds)
    if not found and not left:
        return [f"no {several} found; the picture is unchanged"]
    total = len(found) + len(left)
    first = f"{total} {several if total != 1 else next(iter(settings.kinds))} found, {len(chosen)} repaired"
    named = {each.name for each in chosen}
    others = [f"{each.name}: it was not asked for" for each in found if each.name not in named]
    return [
        first if chosen else f"{first}; the picture is unchanged",
        *(f"not repaired: {line}" for line in (*left, *others)),
    ]


def _doubts(parts: Sequence[Part], found: Sequence[Seen], chosen: Sequence[Seen], settings: PartSettings) -> list[str]:
    """What may not come out well."""
    lines, named = [], {each.name for each in chosen}
    for part in parts:
        for each in part.seen:
            share = float((each.box[2:] - each.box[:2]).max()) / part.crop.side
            if share < SMALL:
                lines.append(
                    f"{each.name} is small in the square that it shares ({share:.0%} of its side); ask for it alone"
                )
        reach = _reach(part, settings.kinds[part.kind])
        lines += [
            f"{other.name} lies in what is repainted around {part.name}"
            for other in found
            if other.name not in named and boxes_meet(other.box, reach)
        ]
    return lines


def _reach(part: Part, settings: KindSettings) -> NDArray[np.float64]:
    """The box of what is repainted, in the photo's pixels."""
    boxes, more = np.stack([each.box for each in part.seen]), settings.dilation / 2 * part.crop.side
    return np.concatenate([boxes[:, :2].min(0) - more, boxes[:, 2:].max(0) + more])
