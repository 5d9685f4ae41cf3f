"""Which squares of a picture become examples: the hands' crops (stage 1), or the square of a person (stage 2).

Geometry alone; hands are cropped by the runtime's own rule, so that what is trained is what is served.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.geometry import Similarity
from handfirst.runtime.pose.crop import hand_box, hand_crops
from handfirst.runtime.pose.person import Person
from handfirst.runtime.pose.topology import SIDES, Side
from handfirst.runtime.systems.two_stage.settings import HandSettings


@dataclass(frozen=True)
class Square:
    """A square of a picture.

    Attributes:
        name: "left", "right", "both" or "person".
        sides: the hands that belong to it.
        similarity: picture pixels -> example pixels.
        side_px: its side in picture pixels.
    """

    name: str
    sides: tuple[Side, ...]
    similarity: Similarity
    side_px: float

    def outside(self, width: int, height: int) -> float:
        """The share of its area that lies outside a picture of that size."""
        low = -np.array([self.similarity.dx, self.similarity.dy]) / self.similarity.scale
        inside = np.clip(np.minimum(low + self.side_px, (width, height)) - np.maximum(low, 0), 0, None)
        return float(1 - inside.prod() / self.side_px**2)


def hand_squares(person: Person, settings: HandSettings, width: int, height: int) -> list[Square]:
    """A square per hand, left before right; one for both where their boxes meet."""
    crops = hand_crops(person, settings, width, height)
    return [
        Square("both" if len(crop.sides) == 2 else crop.sides[0], crop.sides, crop.similarity, crop.side_px)
        for crop in crops
    ]


def body_square(person: Person, margin: float, size: int, width: int, height: int) -> Square | None:
    """The square of a person who shows a hand: inside the picture, with all of the hands in it.

    Its side is `margin` times the longer side of the box of all known points, or the picture's shorter side where that
    is less. It lies about the box's middle, moved as little as its hands and the picture's edges ask for. What else of
    the person does not fit is cut off, for a border that is painted in would be learnt.

    Returns:
        None if the hands are farther apart than the square is wide.
    """
    box = hand_box(person.points)
    hands = hand_box(np.concatenate([person.hand(side) for side in SIDES if person.has_hand(side)]))
    limits = np.array([width, height], np.float64)
    hands = np.clip(hands, 0, np.tile(limits, 2))
    side = min(margin * float((box[2:] - box[:2]).max()), float(limits.min()))
    if (hands[2:] - hands[:2] > side).any():
        return None
    low = _place((box[:2] + box[2:]) / 2, hands, side, limits)
    scale = size / side
    dx, dy = (-low * scale).tolist()
    sides = tuple(side for side in SIDES if person.has_hand(side))
    return Square("person", sides, Similarity(scale, dx, dy), side)


def _place(
    centre: NDArray[np.float64], hands: NDArray[np.float64], side: float, limits: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The upper left corner [2]."""
    low = np.clip(centre - side / 2, hands[2:] - side, hands[:2])
    return np.asarray(np.clip(low, 0, limits - side))
