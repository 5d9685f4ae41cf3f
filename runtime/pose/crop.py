"""Hand crops: which square of the canvas each hand is drawn in, and the similarity map between the two.

Source: the paper, section III-B; margin and joint crops are decisions A6.15 and A6.16 of the specification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.geometry import Similarity
from handfirst.runtime.pose.person import Person
from handfirst.runtime.pose.topology import SIDES, Side


class CropSettings(Protocol):
    """What a model says about the crops of its hands."""

    @property
    def size(self) -> int:
        """Side of a crop in its own pixels."""
        ...

    @property
    def margin(self) -> float:
        """Side of the crop over the longer side of the key points' box."""
        ...

    @property
    def min_side(self) -> float:
        """Smallest side of a crop, as a fraction of the canvas' shorter side."""
        ...


@dataclass(frozen=True)
class UsualCrop:
    """The paper's, for pictures of a pose that no model is asked about."""

    size: int = 512
    margin: float = 1.5
    min_side: float = 64 / 512


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


def hand_crops(person: Person, settings: CropSettings, width: int, height: int) -> tuple[HandCrop, ...]:
    """One crop per hand, left before right; a single one for both where their boxes meet; none without hands."""
    boxes = {side: hand_box(person.hand(side)) for side in SIDES if person.has_hand(side)}
    if len(boxes) == 2 and boxes_meet(boxes["left"], boxes["right"]):
        both = np.concatenate(
            [np.minimum(boxes["left"][:2], boxes["right"][:2]), np.maximum(boxes["left"][2:], boxes["right"][2:])]
        )
        return (_crop(SIDES, both, settings, min(width, height)),)
    return tuple(_crop((side,), box, settings, min(width, height)) for side, box in boxes.items())


def _crop(sides: tuple[Side, ...], box: NDArray[np.float64], settings: CropSettings, shorter: int) -> HandCrop:
    centre, extent = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
    side = max(settings.margin * extent, settings.min_side * shorter)
    scale = settings.size / side
    dx, dy = (settings.size / 2 - scale * centre).tolist()
    return HandCrop(sides, Similarity(scale, dx, dy), settings.size, side)
