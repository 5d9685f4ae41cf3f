"""A crop of a canvas: the inverse of what `Canvas.place` does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.systems.two_stage.canvas import Canvas


def cut(canvas: Canvas, similarity: Similarity, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The square that `place` would fill: picture uint8 [size, size, 3] and mask bool [size, size].

    What lies outside the canvas is black and unmasked.
    """
    back = similarity.inverse()
    picture = np.rint(warp(canvas.image, back, size, size)).astype(np.uint8)
    return picture, warp(canvas.mask, back, size, size) >= 0.5
