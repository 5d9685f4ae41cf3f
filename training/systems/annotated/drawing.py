"""The annotation picture of a training example, drawn by OpenCV as the published programs draw it.

Bones from far to near, each a line of thickness 2 with filled circles of radius 1 at its ends (published programs of
arXiv 2401.15075). A point is drawn at the pixel that holds it; the programs take int(255 u) of 256 pixels, which is the
same pixel or the one before. Knows nothing about models, and nothing about where points come from.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import HAND_EDGES, HANDS, SIDES
from handfirst.runtime.systems.annotated.annotation import Picture, Style, palette
from handfirst.training.data.example import Example

THICKNESS, RADIUS = 2, 1


def draw(example: Example, style: Style) -> Picture:
    """The annotation of an example's hands, uint8 [S, S, 3], black where no hand is.

    A bone of which an end is unknown is left out. Of two hands the left one comes first, as the published programs draw
    hand by hand.
    """
    size, colours = len(example.rgb), palette(style)
    image = np.zeros((size, size, 3), np.uint8)
    if style == "none":
        return image
    for side in SIDES:
        rows = example.keypoints[HANDS[side]]
        depths = None if example.point_depths is None else example.point_depths[HANDS[side]]
        pixels = np.floor(rows[:, :2]).astype(int).tolist()
        for bone in far_to_near(rows[:, 2] > 0, depths):
            a, b = (pixels[point] for point in HAND_EDGES[bone])
            value = colours.value(bone, side)
            cv2.line(image, a, b, value, THICKNESS)
            for point in (a, b):
                cv2.circle(image, point, RADIUS, value, cv2.FILLED)
    return image


def far_to_near(known: NDArray[np.bool_], depths: NDArray[np.float32] | None) -> list[int]:
    """The bones whose ends are known, in the order in which they are drawn: by the sum of their ends' depths.

    Without depths the palm comes first and the tips last, as fingers bend towards whoever sees the palm.

    Args:
        known: bool [21].
        depths: float32 [21], smaller is nearer.
    """
    bones = [bone for bone, (a, b) in enumerate(HAND_EDGES) if known[a] and known[b]]
    if depths is None:
        return sorted(bones, key=lambda bone: bone % 4)
    return sorted(bones, key=lambda bone: -float(depths[list(HAND_EDGES[bone])].sum()))
