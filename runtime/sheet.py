"""A result at a glance: pose, hands, canvas and image side by side, labelled. For eyes, not for machines."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.annotate import write
from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.pose.skeleton import draw_skeleton
from handfirst.runtime.request import Result

GAP = 8
LABEL = 24


def contact_sheet(result: Result) -> NDArray[np.uint8]:
    """Four panels of the image's size in a row, white between them: uint8 [H + LABEL + GAP, 4 W + 5 GAP, 3]."""
    height, width = result.mask.shape
    panels = {
        "pose": draw_skeleton(result.request.pose, width, height),
        "hands": tile([hand.image for hand in result.hands], height, width),
        "canvas": result.canvas,
        "result": result.image,
    }
    sheet = np.full((height + LABEL + GAP, len(panels) * (width + GAP) + GAP, 3), 255, np.uint8)
    for i, (label, panel) in enumerate(panels.items()):
        x = GAP + i * (width + GAP)
        sheet[LABEL : LABEL + height, x : x + width] = panel
        write(sheet, label, x, LABEL - 8, 14, (0, 0, 0))
    return sheet


def tile(pictures: Sequence[NDArray[np.uint8]], height: int, width: int) -> NDArray[np.uint8]:
    """Square pictures uint8 [S, S, 3] in a grid that fits [height, width], white around them; all white for none."""
    panel = np.full((height, width, 3), 255, np.uint8)
    if pictures:
        columns = math.ceil(math.sqrt(len(pictures)))
        side = min(width // columns, height // math.ceil(len(pictures) / columns))
        for i, picture in enumerate(pictures if side else ()):
            y, x = side * (i // columns), side * (i % columns)
            fitted = warp(picture, Similarity(len(picture) / side, 0.0, 0.0), side, side)
            panel[y : y + side, x : x + side] = np.rint(fitted)
    return panel
