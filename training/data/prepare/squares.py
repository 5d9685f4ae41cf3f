"""Which squares of a picture become examples: the hands' crops (stage 1), or the square of a person (stage 2); and
their pixels, labels and key points.

Hands are cropped by the runtime's own rule, so that what is trained is what is served.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.pose.crop import hand_box, hand_crops
from handfirst.runtime.pose.person import Person
from handfirst.runtime.pose.topology import HANDS, SIDES, Side
from handfirst.runtime.systems.two_stage.settings import HandSettings
from handfirst.training.data.record import to_keypoints


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


LABELS = {"left": 1, "right": 2}
"""What a hand is in a mask."""


def cut_picture(image: NDArray[np.uint8], similarity: Similarity, size: int) -> NDArray[np.uint8]:
    """The square that `similarity` (picture -> example) maps to size x size: uint8 [size, size, 3].

    Resampled as the runtime does. Outside the picture its edge goes on, for black bars would be learnt.
    """
    back = similarity.inverse()
    low, high = _reach(back, size)
    limits = np.array([image.shape[1], image.shape[0]])
    (x0, y0), (x1, y1) = np.clip(low, 0, limits - 1).tolist(), np.clip(high, 1, limits).tolist()
    piece = np.ascontiguousarray(image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)])
    left, top = np.maximum((x0, y0) - low, 0).tolist()
    right, bottom = np.maximum(high - (x1, y1), 0).tolist()
    padded = cv2.copyMakeBorder(piece, top, bottom, left, right, cv2.BORDER_REPLICATE)
    here = Similarity(back.scale, back.dx - x0 + left, back.dy - y0 + top)
    return np.rint(warp(np.asarray(padded, np.uint8), here, size, size)).astype(np.uint8)


def move_labels(labels: NDArray[np.uint8], to_input: Similarity, size: int) -> NDArray[np.uint8]:
    """A mask uint8 [H, W] (0, 1 left, 2 right) seen through a map of example pixels to its own: [size, size].

    A pixel is a hand's where at least half of it is.
    """
    out = np.zeros((size, size), np.uint8)
    for label in LABELS.values():
        if (labels == label).any():
            out[warp(labels == label, to_input, size, size) >= 0.5] = label
    return out


def cut_labels(labels: NDArray[np.uint8], square: Square, size: int) -> NDArray[np.uint8]:
    """The square's own hands in a mask of the whole picture, uint8 [H, W] -> [size, size]."""
    back = square.similarity.inverse()
    low, high = (np.clip(corner, 0, None) for corner in _reach(back, size))
    piece = labels[low[1] : high[1], low[0] : high[0]]
    return own(move_labels(piece, Similarity(back.scale, back.dx - low[0], back.dy - low[1]), size), square)


def _reach(back: Similarity, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whole pixels from [2] to [2] that a square needs of its picture: only those are resampled, not all of it."""
    low = np.array([back.dx, back.dy])
    return np.floor(low).astype(np.int64) - 1, np.ceil(low + back.scale * size).astype(np.int64) + 1


def own(labels: NDArray[np.uint8], square: Square) -> NDArray[np.uint8]:
    """Labels without the hands that do not belong to the square, even where one peeks in (decision A6.16)."""
    mine = [LABELS[side] for side in square.sides]
    return np.where(np.isin(labels, mine), labels, 0).astype(np.uint8)


def cut_points(person: Person, square: Square, size: int) -> NDArray[np.float32]:
    """float32 [133, 3] in the square's pixels; unknown where outside. A hand's square has its own hands alone."""
    moved = square.similarity.apply(person.points)
    moved[~((moved >= 0) & (moved <= size)).all(1)] = np.nan
    kept = np.full_like(moved, np.nan)
    for side in square.sides:
        kept[HANDS[side]] = moved[HANDS[side]]
    if square.name == "person":
        rest = np.ones(len(moved), np.bool_)
        for side in SIDES:
            rest[HANDS[side]] = False
        kept[rest] = moved[rest]
    return to_keypoints(Person(kept, np.asarray(np.isfinite(kept).all(1), np.float64)))
