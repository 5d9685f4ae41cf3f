"""A result as pictures, for eyes: all that it holds, and a sheet of the photo before and after with its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.pictures import write
from handfirst.runtime.systems.part_refiner.crops import Rgb
from handfirst.runtime.systems.part_refiner.request import PartResult, RepairResult

GAP, LABEL = 8, 24
TALLEST = 512
"""Pixels of a sheet's panels; a larger photo is shown smaller."""


def pictures(result: RepairResult) -> list[tuple[str, str, NDArray[Any]]]:
    """(kind, name of a file without its ending, uint8 [H, W, 3] or bool [H, W] for a mask), the result first."""
    made: list[tuple[str, str, NDArray[Any]]] = [
        ("result", "result", result.image),
        ("sheet", "sheet", sheet(result)),
        ("mask", "mask", result.mask),
    ]
    for i, part in enumerate(result.parts):
        name = part.name if len(part.name) <= 60 else f"part-{i}"
        name = name.replace("+", "-and-")
        made += [(kind, f"{name}-{kind}", picture) for kind, picture in _steps_of(part).items()]
    return made


def _steps_of(part: PartResult) -> dict[str, NDArray[Any]]:
    refined = {} if part.refined is None else {"refined": part.refined}
    return {"before": part.before, "pose": part.pose, "ring": part.mask, **refined, "after": part.after}


def sheet(result: RepairResult) -> Rgb:
    """A row for the photo before and after, and one for every part: uint8 [H, W, 3], white between them."""
    height = min(TALLEST, result.image.shape[0])
    rows = [{"before": result.request.image, "after": result.image}]
    rows += [
        {**_steps_of(part), f"after, {'left as it was' if part.kept else part.name}": part.after}
        for part in result.parts
    ]
    for row in rows[1:]:
        del row["after"]
    drawn = [_row(row, height if i == 0 else min(height, TALLEST // 2)) for i, row in enumerate(rows)]
    width = max(each.shape[1] for each in drawn)
    return np.concatenate(
        [np.pad(each, ((0, 0), (0, width - each.shape[1]), (0, 0)), constant_values=255) for each in drawn]
    )


def _row(panels: dict[str, NDArray[Any]], height: int) -> Rgb:
    fitted = {label: _fitted(panel, height) for label, panel in panels.items()}
    width = sum(panel.shape[1] + GAP for panel in fitted.values()) + GAP
    made, x = np.full((height + LABEL + GAP, width, 3), 255, np.uint8), GAP
    for label, panel in fitted.items():
        made[LABEL : LABEL + height, x : x + panel.shape[1]] = panel
        write(made, label, x, LABEL - 8, 14, (0, 0, 0))
        x += panel.shape[1] + GAP
    return made


def _fitted(panel: NDArray[Any], height: int) -> Rgb:
    """A picture or a mask at that height, uint8 [height, w, 3]."""
    colour = panel if panel.ndim == 3 else np.repeat(panel[..., None].astype(np.uint8) * 255, 3, 2)
    scale = len(colour) / height
    width = min(max(1, round(colour.shape[1] / scale)), 8 * TALLEST)
    return np.rint(warp(colour, Similarity(scale, 0.0, 0.0), height, width)).astype(np.uint8)
