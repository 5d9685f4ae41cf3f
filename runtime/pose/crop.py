"""Hand crops: which square of the canvas each hand is drawn in, and the similarity map between the two.

Source: the paper, section III-B; margin and joint crops are decisions A6.15 and A6.16 of the specification.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.person import Person
from handfirst.runtime.pose.topology import SIDES, Side
from handfirst.runtime.settings import HandSettings


@dataclass(frozen=True)
class Similarity:
    """x -> scale x + dx, y -> scale y + dy, in continuous pixels."""

    scale: float
    dx: float
    dy: float

    def apply(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """points [..., 2] -> [..., 2]; NaN stays NaN."""
        moved: NDArray[np.float64] = points * self.scale + np.array([self.dx, self.dy])
        return moved

    def inverse(self) -> Similarity:
        """The map back."""
        return Similarity(1 / self.scale, -self.dx / self.scale, -self.dy / self.scale)

    def then(self, other: Similarity) -> Similarity:
        """This map first, `other` after it."""
        return Similarity(other.scale * self.scale, other.scale * self.dx + other.dx, other.scale * self.dy + other.dy)


@dataclass(frozen=True)
class HandCrop:
    """One square crop.

    Attributes:
        sides: the hands in it; both where their boxes meet.
        similarity: canvas pixels -> crop pixels.
        size: side of the crop's picture in its own pixels.
        side_px: side of the crop on the canvas in canvas pixels; the square may leave the canvas.
    """

    sides: tuple[Side, ...]
    similarity: Similarity
    size: int
    side_px: float


def hand_box(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """points [N, 2] with at least one valid -> [x0, y0, x1, y1] of the valid ones."""
    return np.concatenate([np.nanmin(points, 0), np.nanmax(points, 0)])


def boxes_meet(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether two boxes [x0, y0, x1, y1] share a point."""
    return bool((a[:2] <= b[2:]).all() and (b[:2] <= a[2:]).all())


def hand_crops(person: Person, settings: HandSettings, width: int, height: int) -> tuple[HandCrop, ...]:
    """One crop per hand, left before right; a single one for both where their boxes meet; none without hands."""
    boxes = {side: hand_box(person.hand(side)) for side in SIDES if person.has_hand(side)}
    if len(boxes) == 2 and boxes_meet(boxes["left"], boxes["right"]):
        both = np.concatenate(
            [np.minimum(boxes["left"][:2], boxes["right"][:2]), np.maximum(boxes["left"][2:], boxes["right"][2:])]
        )
        return (_crop(SIDES, both, settings, min(width, height)),)
    return tuple(_crop((side,), box, settings, min(width, height)) for side, box in boxes.items())


def _crop(sides: tuple[Side, ...], box: NDArray[np.float64], settings: HandSettings, shorter: int) -> HandCrop:
    centre, extent = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
    side = max(settings.margin * extent, settings.min_side * shorter)
    scale = settings.size / side
    dx, dy = (settings.size / 2 - scale * centre).tolist()
    return HandCrop(sides, Similarity(scale, dx, dy), settings.size, side)
