"""A result as pictures, for eyes: all that it holds, and a sheet of the picture, its annotation, and its points."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pictures import write
from handfirst.runtime.pose.drawing import disc, stroke
from handfirst.runtime.pose.topology import HAND_EDGES
from handfirst.runtime.systems.annotated.annotation import COLOURS, Picture
from handfirst.runtime.systems.annotated.request import SampleResult

GAP, LABEL = 8, 24
SMALLEST = 256
"""Pixels of a sheet's panels, at least; smaller pictures are shown as whole multiples of themselves."""


def pictures(result: SampleResult) -> list[tuple[str, str, NDArray[Any]]]:
    """(kind, name of a file without its ending, uint8 [H, W, 3]), the result first."""
    made: list[tuple[str, str, NDArray[Any]]] = [("result", "result", result.image), ("sheet", "sheet", sheet(result))]
    if result.annotation is not None:
        made += [("annotation", "annotation", result.annotation), ("points", "points", with_points(result))]
    return made


def sheet(result: SampleResult) -> Picture:
    """Side by side with white between them, uint8 [H, W, 3]; the score stands above the points."""
    panels = {"picture": result.image}
    if result.annotation is not None and result.consistency is not None:
        panels |= {"annotation": result.annotation, f"points, {result.consistency:.2f}": with_points(result)}
    times = -(-SMALLEST // len(result.image))
    side = times * len(result.image)
    made = np.full((side + LABEL + GAP, len(panels) * (side + GAP) + GAP, 3), 255, np.uint8)
    for i, (label, panel) in enumerate(panels.items()):
        x = GAP + i * (side + GAP)
        made[LABEL : LABEL + side, x : x + side] = panel.repeat(times, 0).repeat(times, 1)
        write(made, label, x, LABEL - 8, 14, (0, 0, 0))
    return made


def with_points(result: SampleResult) -> Picture:
    """The picture with the points that its annotation tells, and bones in OpenPose's colours."""
    drawn = result.image.copy()
    for hand in result.hands:
        for bone, (a, b) in enumerate(HAND_EDGES):
            if np.isfinite(hand.points[[a, b]]).all():
                red, green, blue = bytes.fromhex(COLOURS[bone])
                stroke(drawn, hand.points[a], hand.points[b], len(drawn) / 128, (red, green, blue))
        for point in hand.points[np.isfinite(hand.points).all(1)]:
            disc(drawn, point, len(drawn) / 160, (0, 0, 255))
    return drawn
