"""The way back: 21 points of every hand out of an annotation picture, and how well the two agree.

A pixel's value names its bone, and joints are where bones end. A generated annotation is not exact, so values are taken
for the nearest of the palette, ends are found bone by bone, and then every point is moved until its bones cover the
pixels that bear their names and no empty ones. Knows nothing about models or pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import HAND_EDGES, Side
from handfirst.runtime.systems.annotated.annotation import Palette, Picture, Style, palette

Points = NDArray[np.float64]

UNCLEAR = 40.0
"""Distance in colour beyond which a value is nobody's; bones next to each other in the palette are 50 apart."""
LIKE = 2
"""Of eight neighbours so many are of the same bone, or the pixel is noise: lines are three pixels wide."""
FEWEST = 3
"""Pixels of a bone, less is noise."""
REACH = 1.5
"""Pixels from a bone's axis to the farthest that is drawn: half of the thickness, and half a pixel."""
STEPS, ROUNDS = (2.0, 1.0, 0.5), 2
"""Pixels by which points are moved in search of better places, and how often."""
AROUND = np.array([(0, 0), *((x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y)], np.float64)

EMPTY, NOBODY = -1, -2
"""What a pixel is that belongs to no bone: black, or of no value of the palette."""


@dataclass(frozen=True, eq=False)
class RecoveredHand:
    """One hand as its annotation tells it.

    Attributes:
        side: whose it is; None where the style does not tell.
        points: float64 [21, 2] in continuous pixels (pixel i centred at i + .5), NaN where no bone shows them.
        bones: bool [20], which bones of HAND_EDGES show.
        agreement: 0 .. 1, how much of the annotation the points explain, and the other way round: twice the pixels that
            lie on the bone that they name, over those that name one or lie on one.
        consistency: 0 .. 1, the agreement times the share of bones that show.
    """

    side: Side | None
    points: Points
    bones: NDArray[np.bool_]
    agreement: float
    consistency: float


def recover(annotation: Picture, style: Style) -> tuple[RecoveredHand, ...]:
    """The hands of an annotation uint8 [S, S, 3], the left one first; at most one of a side.

    In style "colours", which does not tell sides, all is taken for one hand. Empty where no bone shows.
    """
    colours = palette(style)
    names = classify(annotation, colours)
    found = []
    for side in dict.fromkeys(colours.sides):
        mine = [k for k, each in enumerate(colours.sides) if each == side]
        own = np.full(names.shape, EMPTY)
        for k in mine:
            own[names == k] = colours.bones[k]
        own[names == NOBODY] = NOBODY  # it may be this hand's or another's
        others = (names >= 0) & (own < 0)
        hand = _one_hand(np.where(others, NOBODY, own), side)
        if hand is not None:
            found.append(hand)
    return tuple(found)


def classify(annotation: Picture, colours: Palette) -> NDArray[np.int64]:
    """The index of each pixel's value in the palette, or EMPTY or NOBODY: int64 [S, S]."""
    values = np.concatenate([colours.values, np.zeros((1, 3), np.uint8)]).astype(np.float64)
    lit = annotation.reshape(-1, 3)[(annotation > 0).any(2).ravel()].astype(np.float64)
    names = np.full(annotation.shape[:2], EMPTY, np.int64)
    squared = (lit**2).sum(1)[:, None] - 2 * lit @ values.T + (values**2).sum(1)
    nearest = squared.argmin(1)
    named = np.where(nearest == len(values) - 1, EMPTY, nearest)
    far = squared[np.arange(len(lit)), nearest] > UNCLEAR**2
    names[(annotation > 0).any(2)] = np.where(far, NOBODY, named)
    return names


def _one_hand(names: NDArray[np.int64], side: Side | None) -> RecoveredHand | None:
    """names int64 [S, S]: a bone, EMPTY, or NOBODY, which may be anything."""
    pixels = {bone: _places(names == bone) for bone in range(len(HAND_EDGES))}
    seen = {bone: places for bone, places in pixels.items() if len(places) >= FEWEST}
    if not seen:
        return None
    bones = np.array([bone in seen for bone in range(len(HAND_EDGES))])
    fit = _Fit(names, seen)
    points = fit.improved(_start(seen))
    agreement = fit.agreement(points)
    return RecoveredHand(side, points, bones, agreement, agreement * float(bones.mean()))


def _places(mask: NDArray[np.bool_]) -> Points:
    """Centres of the pixels that have at least LIKE neighbours like them, float64 [N, 2] of x and y."""
    wide = np.pad(mask, 1)
    height, width = mask.shape
    like = sum(
        wide[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width].astype(np.int8)
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if dx or dy
    )
    return _centres(mask & (like >= LIKE))


def _centres(mask: NDArray[np.bool_]) -> Points:
    """Of the pixels where the mask is True, float64 [N, 2] of x and y."""
    rows, columns = np.nonzero(mask)
    return np.stack([columns, rows], 1).astype(np.float64) + 0.5


def _start(seen: dict[int, Points]) -> Points:
    """Points [21, 2] to begin with: where ends of neighbouring bones come closest to each other, from the wrist on."""
    ends = {bone: _ends(places) for bone, places in seen.items()}
    _turn_palms(ends)
    for finger in range(5):
        chain = [bone for bone in range(4 * finger, 4 * finger + 4) if bone in ends]
        for lower, upper in pairwise(chain):
            apart = np.hypot(*(ends[lower][:, None] - ends[upper][None]).transpose(2, 0, 1))
            if lower == chain[0] and lower % 4:  # its palm bone is hidden: nothing has turned it yet
                i = int(apart.min(1).argmin())
                ends[lower], apart = ends[lower][[1 - i, i]], apart[[1 - i, i]]
            ends[upper] = ends[upper][:: 1 if apart[1, 0] <= apart[1, 1] else -1]
    votes: dict[int, list[Points]] = {point: [] for point in range(21)}
    for bone, each in ends.items():
        for point, end in zip(HAND_EDGES[bone], each, strict=True):
            votes[point].append(end)
    return np.array([np.median(each, 0) if each else (np.nan, np.nan) for each in votes.values()])


def _turn_palms(ends: dict[int, Points]) -> None:
    """The ends of the palm bones that lie closest together are the wrist's: they come first, in place."""
    palms = [bone for bone in ends if bone % 4 == 0]
    both = np.array([ends[bone] for bone in palms])
    turns = list(product((0, 1), repeat=len(palms)))
    spread = [np.var(both[np.arange(len(palms)), turn], 0).sum() for turn in turns] if palms else [0.0]
    for bone, first in zip(palms, turns[int(np.argmin(spread))], strict=True):
        ends[bone] = ends[bone][[first, 1 - first]]


def _ends(places: Points) -> Points:
    """The two ends of a bone's axis, [2, 2]: the pixels' extent along their main direction, without the round caps."""
    middle = places.mean(0)
    along = np.linalg.svd(places - middle, full_matrices=False)[2][0]
    reach = (places - middle) @ along
    low, high = reach.min() + 1, reach.max() - 1
    if low > high:
        low = high = (low + high) / 2
    return np.asarray(middle + np.array([low, high])[:, None] * along, np.float64)


class _Fit:
    """How well points fit the named pixels of one hand, and better points.

    Args:
        names: as in _one_hand.
        seen: the pixels of the bones that show.
    """

    def __init__(self, names: NDArray[np.int64], seen: dict[int, Points]) -> None:
        self._names = names
        self._seen = seen
        self._near: dict[int, tuple[Points, Points]] = {}
        for bone, places in seen.items():
            low = np.maximum(np.floor(places.min(0) - 4), 0).astype(int)
            high = np.minimum(np.ceil(places.max(0) + 4), names.shape[::-1]).astype(int)
            window = names[low[1] : high[1], low[0] : high[0]]
            self._near[bone] = places, _centres(window == EMPTY) + low

    def improved(self, start: Points) -> Points:
        """Moves points as long as that pays."""
        points = start.copy()
        touching = {p: [bone for bone in self._seen if p in HAND_EDGES[bone]] for p in range(21)}
        for step in STEPS:
            for _ in range(ROUNDS):
                if not any([self._move(points, p, bones, step) for p, bones in touching.items() if bones]):
                    break
        return points

    def _move(self, points: Points, p: int, bones: list[int], step: float) -> bool:
        """To the best of nine places, a step apart; whether that is another one."""
        places = points[p] + step * AROUND
        costs = np.zeros(len(places))
        for bone in bones:
            a, b = HAND_EDGES[bone]
            costs += self._costs(bone, places, points[b if p == a else a])
        best = int(costs.argmin())
        if not best or costs[best] > costs[0] - 1e-9:
            return False
        points[p] = places[best]
        return True

    def _costs(self, bone: int, places: Points, other: Points) -> NDArray[np.float64]:
        """Squared pixels, for each place of an end: named ones that stick out of the bone, empty ones inside of it."""
        named, empty = self._near[bone]
        outside = np.maximum(distance(named, places, other) - 1.0, 0)
        inside = np.maximum(REACH - distance(empty, places, other), 0)
        return np.asarray((outside**2).sum(0) + (inside**2).sum(0))

    def agreement(self, points: Points) -> float:
        """See RecoveredHand."""
        named, empty = _centres(self._names >= 0), _centres(self._names == EMPTY)
        bones = self._names[self._names >= 0]
        explained = 0
        covered = np.zeros(len(named), np.bool_)
        wrong = np.zeros(len(empty), np.bool_)
        for bone in self._seen:
            a, b = points[list(HAND_EDGES[bone])]
            on = distance(named, a[None], b)[:, 0] <= REACH
            explained += int((on & (bones == bone)).sum())
            covered |= on
            wrong |= distance(empty, a[None], b)[:, 0] <= 1.0
        drawn = int(covered.sum()) + int(wrong.sum())
        return 2 * explained / max(1, len(named) + drawn)


def distance(pixels: Points, ends: Points, other: Points) -> NDArray[np.float64]:
    """From pixels [N, 2] to the segments from each of the ends [K, 2] to the other end [2]: [N, K]."""
    along = other - ends
    length = np.maximum((along**2).sum(1), 1e-12)
    x, y = (pixels[:, None, i] - ends[None, :, i] for i in (0, 1))
    part = np.clip((x * along[:, 0] + y * along[:, 1]) / length, 0, 1)
    return np.asarray(np.hypot(x - part * along[:, 0], y - part * along[:, 1]))
