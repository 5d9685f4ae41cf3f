"""Which parts of a picture become examples: the squares about hands (stage 1), or a canvas about a person (stage 2);
and their pixels, labels and key points.

Hands are cropped by the runtime's own rule, so that what is trained is what is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.pose.crop import hand_box, hand_crops
from handfirst.runtime.pose.person import Person
from handfirst.runtime.pose.topology import HANDS, SIDES, Side
from handfirst.runtime.systems.two_stage.settings import HandSettings
from handfirst.training.data.buckets import Size, best
from handfirst.training.data.record import to_keypoints


@dataclass(frozen=True)
class Cut:
    """A part of a picture.

    Attributes:
        name: "left", "right", "both" or "person".
        sides: the hands that belong to it.
        similarity: picture pixels -> example pixels.
        size: width and height of the example.
    """

    name: str
    sides: tuple[Side, ...]
    similarity: Similarity
    size: Size

    @property
    def extent(self) -> NDArray[np.float64]:
        """Width and height in picture pixels: float64 [2]."""
        return np.asarray(np.array(self.size) / self.similarity.scale)

    def outside(self, width: int, height: int) -> float:
        """The share of its area that lies outside a picture of that size."""
        low = -np.array([self.similarity.dx, self.similarity.dy]) / self.similarity.scale
        inside = np.clip(np.minimum(low + self.extent, (width, height)) - np.maximum(low, 0), 0, None)
        return float(1 - (inside / self.extent).prod())


def hand_squares(person: Person, settings: HandSettings, width: int, height: int) -> list[Cut]:
    """A square per hand, left before right; one for both where their boxes meet."""
    crops = hand_crops(person, settings, width, height)
    return [
        Cut("both" if len(crop.sides) == 2 else crop.sides[0], crop.sides, crop.similarity, (crop.size, crop.size))
        for crop in crops
    ]


def body_cut(person: Person, margin: float, sizes: Sequence[Size], width: int, height: int) -> Cut | None:
    """The part of a picture about a person who shows a hand: inside the picture, with all of the hands in it.

    Of `sizes` it has the one whose shape is nearest to the box of all known points, `margin` times as wide and high and
    no larger than the picture; the next one where the hands do not fit. It is as large as that box asks for, or as the
    picture allows. It lies about the box's middle, moved as little as its hands and the picture's edges ask for. What
    else of the person does not fit is cut off, for a border that is painted in would be learnt.

    Returns:
        None if the hands are farther apart than any of them is wide.
    """
    box = hand_box(person.points)
    sides = tuple(side for side in SIDES if person.has_hand(side))
    limits = np.array([width, height], np.float64)
    hands = np.clip(hand_box(np.concatenate([person.hand(side) for side in sides])), 0, np.tile(limits, 2))
    wanted = np.maximum(margin * (box[2:] - box[:2]), 1)
    for size in best(sizes, *np.minimum(wanted, limits).tolist()):
        extent = np.array(size) * min((wanted / size).max(), (limits / size).min())
        if (hands[2:] - hands[:2] <= extent).all():
            low = _place((box[:2] + box[2:]) / 2, hands, extent, limits)
            scale = float(size[0] / extent[0])
            dx, dy = (-low * scale).tolist()
            return Cut("person", sides, Similarity(scale, dx, dy), size)
    return None


def _place(
    centre: NDArray[np.float64], hands: NDArray[np.float64], extent: NDArray[np.float64], limits: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The upper left corner [2]."""
    low = np.clip(centre - extent / 2, hands[2:] - extent, hands[:2])
    return np.asarray(np.clip(low, 0, limits - extent))


LABELS = {"left": 1, "right": 2}
"""What a hand is in a mask."""


def cut_picture(image: NDArray[np.uint8], cut: Cut) -> NDArray[np.uint8]:
    """Its pixels, uint8 [H, W, 3] of the example's size.

    Resampled as the runtime does. Outside the picture its edge goes on, for black bars would be learnt.
    """
    back = cut.similarity.inverse()
    low, high = _reach(back, cut.size)
    limits = np.array([image.shape[1], image.shape[0]])
    (x0, y0), (x1, y1) = np.clip(low, 0, limits - 1).tolist(), np.clip(high, 1, limits).tolist()
    piece = np.ascontiguousarray(image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)])
    left, top = np.maximum((x0, y0) - low, 0).tolist()
    right, bottom = np.maximum(high - (x1, y1), 0).tolist()
    padded = cv2.copyMakeBorder(piece, top, bottom, left, right, cv2.BORDER_REPLICATE)
    here = Similarity(back.scale, back.dx - x0 + left, back.dy - y0 + top)
    return np.rint(warp(np.asarray(padded, np.uint8), here, *cut.size[::-1])).astype(np.uint8)


def move_labels(labels: NDArray[np.uint8], to_input: Similarity, size: Size) -> NDArray[np.uint8]:
    """A mask uint8 [H, W] (0, 1 left, 2 right) seen through a map of example pixels to its own, at another size.

    A pixel is a hand's where at least half of it is.
    """
    out = np.zeros(size[::-1], np.uint8)
    for label in LABELS.values():
        if (labels == label).any():
            out[warp(labels == label, to_input, *size[::-1]) >= 0.5] = label
    return out


def cut_labels(labels: NDArray[np.uint8], cut: Cut) -> NDArray[np.uint8]:
    """Its own hands in a mask of the whole picture, uint8 [H, W] -> the example's size."""
    back = cut.similarity.inverse()
    low, high = (np.clip(corner, 0, None) for corner in _reach(back, cut.size))
    piece = labels[low[1] : high[1], low[0] : high[0]]
    return own(move_labels(piece, Similarity(back.scale, back.dx - low[0], back.dy - low[1]), cut.size), cut)


def _reach(back: Similarity, size: Size) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whole pixels from [2] to [2] that a cut needs of its picture: only those are resampled, not all of it."""
    low = np.array([back.dx, back.dy])
    high = low + back.scale * np.array(size)
    return np.floor(low).astype(np.int64) - 1, np.ceil(high).astype(np.int64) + 1


def own(labels: NDArray[np.uint8], cut: Cut) -> NDArray[np.uint8]:
    """Labels without the hands that do not belong to the cut, even where one peeks in (decision A6.16)."""
    mine = [LABELS[side] for side in cut.sides]
    return np.where(np.isin(labels, mine), labels, 0).astype(np.uint8)


def cut_points(person: Person, cut: Cut) -> NDArray[np.float32]:
    """float32 [133, 3] in the example's pixels; unknown where outside. A hand's square has its own hands alone."""
    moved = cut.similarity.apply(person.points)
    moved[~((moved >= 0) & (moved <= cut.size)).all(1)] = np.nan
    kept = np.full_like(moved, np.nan)
    for side in cut.sides:
        kept[HANDS[side]] = moved[HANDS[side]]
    if cut.name == "person":
        rest = np.ones(len(moved), np.bool_)
        for side in SIDES:
            rest[HANDS[side]] = False
        kept[rest] = moved[rest]
    return to_keypoints(Person(kept, np.asarray(np.isfinite(kept).all(1), np.float64)))
