"""A judge looks at one picture: what is asked about it, what was seen, and the truth beside it, as one small record.

A hand is asked about if all its 21 points lie in the picture. In a person's picture the judge gets the square of 2.2
times the points' extent around each hand, a hand's picture as it is; either enlarged or reduced to 256 pixels. Knows
nothing about what is made of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from handfirst.runtime.geometry import Similarity
from handfirst.runtime.pose.topology import SHOULDERS, SIDES, Side
from handfirst.training.data.procedural.sample import Sample
from handfirst.training.evaluate.average_precision import box_area
from handfirst.training.evaluate.detect import cut_out, square_around
from handfirst.training.evaluate.judging.held_out import Kind, person_of
from handfirst.training.evaluate.judging.judges import Image, Judge, Points, SeenHand, Twenty1

SQUARE = 256


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrueHand(_Model):
    """A hand that is there: its side, its points in the square's pixels, and the area in pixels that COCO's AP takes:
    that of the box of all points of its person, as for every part of COCO-WholeBody; of a hand alone, its own box.
    """

    side: Side
    points: Twenty1
    area: float

    def array(self) -> Points:
        """[21, 2]."""
        return np.array(self.points)


class HandLook(_Model):
    """One square: the hands that are there, the one that it was cut around first, and the hands that were seen."""

    true: tuple[TrueHand, ...]
    seen: tuple[SeenHand, ...]

    def best(self) -> SeenHand | None:
        """The seen hand that lies nearest to the one asked about; the judge is not asked whose hand it is.

        A find that lies nearer to another hand of the square is that one's.
        """

        def away(seen: SeenHand, true: TrueHand) -> float:
            return float(np.linalg.norm(seen.array() - true.array(), axis=1).mean())

        asked, others = self.true[0], self.true[1:]
        own = [hand for hand in self.seen if all(away(hand, asked) <= away(hand, other) for other in others)]
        return min(own, key=lambda hand: away(hand, asked), default=None)


class Look(_Model):
    """One picture: a square for each hand; whether a face and a body were seen, None where there is no true one."""

    hands: tuple[HandLook, ...]
    face: bool | None
    body: bool | None = None  # looks of older tables have none


def whole_hands(sample: Sample) -> tuple[Side, ...]:
    """The sides whose 21 points are all in the picture."""
    person = person_of(sample)
    inside = [np.isfinite(person.hand(side)).all() and _within(person.hand(side), sample.rgb) for side in SIDES]
    return tuple(side for side, there in zip(SIDES, inside, strict=True) if there)


def look(judge: Judge, image: Image, sample: Sample, kind: Kind) -> Look:
    """What a judge sees in a picture, uint8 RGB [S, S, 3] of the size of `sample`, whose truth is that of the sample.

    The picture is the render itself, or what a system made of its pose.
    """
    person, sides = person_of(sample), whole_hands(sample)
    looks = []
    for side in sides:
        points = person.hand(side)
        to_square = square_around(points, SQUARE) if kind == "people" else Similarity(SQUARE / len(image), 0.0, 0.0)
        area = float(box_area(person.points)) * to_square.scale**2
        there = [
            TrueHand(side=s, points=_pairs(to_square.apply(person.hand(s))), area=area)
            for s in sorted(sides, key=lambda s: s != side)
        ]
        true = [there[0], *(hand for hand in there[1:] if _centre_in_square(hand))]
        looks.append(HandLook(true=tuple(true), seen=judge.hands(cut_out(image, to_square, SQUARE))))
    face = judge.face(image, person.face) if np.isfinite(person.face).all(1).any() else None
    shoulders = person.body[list(SHOULDERS)]
    body = judge.body(image, shoulders) if kind == "people" and np.isfinite(shoulders).all() else None
    return Look(hands=tuple(looks), face=face, body=body)


def _centre_in_square(hand: TrueHand) -> bool:
    centre = (hand.array().min(0) + hand.array().max(0)) / 2
    return bool(((centre >= 0) & (centre <= SQUARE)).all())


def _within(points: Points, image: NDArray[np.uint8]) -> bool:
    height, width = image.shape[:2]
    return bool(((points >= 0) & (points <= (width, height))).all())


def _pairs(points: Points) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(x), 3), round(float(y), 3)) for x, y in points)
