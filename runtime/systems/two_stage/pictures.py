"""A result as pictures: all that it holds, and a sheet of pose, hands, canvas and image. For eyes, not for machines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.pictures import write
from handfirst.runtime.pose.skeleton import draw_skeleton
from handfirst.runtime.systems.two_stage.canvas import Canvas
from handfirst.runtime.systems.two_stage.request import HandResult, Result

REGION = "region"
"""What progress calls the cells that are kept after a step."""
GAP = 8
LABEL = 24


def pictures(result: Result) -> list[tuple[str, str, NDArray[Any]]]:
    """(kind, name of a file without its ending, uint8 [H, W, 3] or bool [H, W] for a mask), the result first."""
    pose = _pose(result)
    whole = {
        "result": result.image,
        "sheet": _sheet(result, pose),
        "pose": pose,
        "canvas": result.canvas,
        "mask": result.mask,
    }
    made: list[tuple[str, str, NDArray[Any]]] = [(kind, kind, image) for kind, image in whole.items()]
    for hand in result.hands:
        made += [("hand", hand.name, hand.image), ("hand-mask", f"{hand.name}-mask", hand.mask)]
    return made + [("close-up", each.name, each.image) for each in result.close_ups]


def sheet(result: Result) -> NDArray[np.uint8]:
    """Four panels of the image's size in a row, white between them: uint8 [H + LABEL + GAP, 4 W + 5 GAP, 3]."""
    return _sheet(result, _pose(result))


def _pose(result: Result) -> NDArray[np.uint8]:
    height, width = result.mask.shape
    return draw_skeleton(result.request.pose, width, height)


def _sheet(result: Result, pose: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = result.mask.shape
    panels = {
        "pose": pose,
        "hands": tile([hand.image for hand in result.hands], height, width),
        "canvas": result.canvas,
        "result": result.image,
    }
    made = np.full((height + LABEL + GAP, len(panels) * (width + GAP) + GAP, 3), 255, np.uint8)
    for i, (label, panel) in enumerate(panels.items()):
        x = GAP + i * (width + GAP)
        made[LABEL : LABEL + height, x : x + width] = panel
        write(made, label, x, LABEL - 8, 14, (0, 0, 0))
    return made


def known_pictures(canvas: Canvas, hands: Sequence[HandResult]) -> dict[str, Callable[[], NDArray[Any]]]:
    """What stage 1 leaves to see of a picture, by the names of `pictures`."""
    seen: dict[str, Callable[[], NDArray[Any]]] = {"canvas": lambda: canvas.image, "mask": lambda: canvas.mask}
    for hand in hands:
        seen[hand.name] = partial(getattr, hand, "image")
    return seen


def row(regions: Callable[[], NDArray[np.bool_]], step: int) -> NDArray[np.bool_]:
    """What is kept after a step, from 1, bool [H, W]."""
    region: NDArray[np.bool_] = regions()[step - 1]
    return region


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
