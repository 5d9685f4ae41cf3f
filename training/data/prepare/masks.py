"""The hands' masks of an example where the source has none: found from the key points, and large enough.

Found on squares of 512 pixels whatever the examples' size is, so that the dilation is the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.person import Person
from handfirst.runtime.pose.topology import Side
from handfirst.training.data.prepare.cut import LABELS, cut_picture, move_labels, own
from handfirst.training.data.prepare.frame import Square, hand_squares
from handfirst.training.data.prepare.settings import REFERENCE, PrepareSettings

DILATION = 5
"""Side of the square that found masks are dilated by, once (paper, section IV-A)."""


class Segmenter(Protocol):
    """Finds hands in a square picture."""

    def __call__(
        self, rgb: NDArray[np.uint8], hands: Mapping[Side, NDArray[np.float64]], /
    ) -> NDArray[np.uint8]:  # fmt: skip
        """rgb uint8 [S, S, 3] and the points [21, 2] of each hand, NaN where unknown -> uint8 [S, S] (1, 2)."""
        ...


def found_mask(
    image: NDArray[np.uint8], person: Person, square: Square, settings: PrepareSettings, segment: Segmenter
) -> NDArray[np.uint8]:
    """uint8 [S, S] (1, 2): every hand is looked for in its own crop, as stage 1 sees it, and put into the square."""
    height, width = image.shape[:2]
    crop = settings.hand.model_copy(update={"size": REFERENCE})
    found = np.zeros((settings.size, settings.size), np.uint8)
    for looked_at in hand_squares(person, crop, width, height):
        if not set(looked_at.sides) & set(square.sides):
            continue
        seen = cut_picture(image, looked_at.similarity, REFERENCE)
        hands = {side: looked_at.similarity.apply(person.hand(side)) for side in looked_at.sides}
        labels = own(dilated(segment(seen, hands)), looked_at)
        there = square.similarity.inverse().then(looked_at.similarity)
        moved = move_labels(labels, there, settings.size)
        found = np.where(moved > 0, moved, found)
    return own(found, square)


def dilated(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every hand grown by DILATION, but not into another one; where both grow into a pixel it is the left hand's."""
    out = labels.copy()
    kernel = np.ones((DILATION, DILATION), np.uint8)
    for label in LABELS.values():
        grown = cv2.dilate((labels == label).astype(np.uint8), kernel) > 0
        out[grown & (out == 0)] = label
    return out


def large_enough(hands: NDArray[np.uint8], settings: PrepareSettings) -> bool:
    """Whether an example uint8 [S, S] has enough hand in it, counted as if S were 512."""
    return bool((hands > 0).sum() * (REFERENCE / len(hands)) ** 2 >= settings.smallest_mask)
