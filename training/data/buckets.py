"""Canvases of several shapes ("buckets"): which there are, and which of them fits a picture best.

A batch holds pictures of one size, people have many shapes. So every picture goes to the canvas whose shape is nearest
to its own, and a batch takes from one canvas alone (NovelAI's aspect ratio bucketing, 2022). Sizes are width, then
height, in pixels. Knows nothing about pictures or batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.size import parse_size

Size = tuple[int, int]
USUAL = 64
"""Pixels: three halvings of a latent of eight pixels a cell, as in Stable Diffusion 1.x."""


def canvases(side: int, ratio: float, multiple: int) -> tuple[Size, ...]:
    """Those whose area is at most that of a square, from upright to broad.

    For every shorter side up to the square's, the longest longer side that the area leaves, both in steps of
    `multiple`; left out where it is more than `ratio` times the shorter one.

    Args:
        side: of the square, a multiple of `multiple`.
    """
    upright = [(short, side * side // short // multiple * multiple) for short in range(multiple, side, multiple)]
    upright = [(short, long) for short, long in upright if long <= ratio * short]
    return (*upright, (side, side), *((long, short) for short, long in reversed(upright)))


def chosen(given: float | Sequence[str], side: int, multiple: int) -> tuple[Size, ...]:
    """The canvases that somebody asks for.

    Args:
        given: the largest ratio of two sides, for `canvases`; or all of them, as "WIDTHxHEIGHT".
        side: of the square.
        multiple: what every side must be a multiple of, the square's too.

    Raises:
        UserError: a side that is none, a canvas twice, none at all, or a ratio below 1.
    """
    if isinstance(given, int | float):
        if not 1 <= given <= side:
            raise UserError(f"buckets: expected the largest ratio of two sides, from 1, such as 2, got {given:g}")
        sizes = canvases(side, given, multiple)
    else:
        sizes = tuple(size for text in given if (size := parse_size(text, "buckets")) is not None)
    for width, height in (*sizes, (side, side)):
        if width % multiple or height % multiple:
            raise UserError(
                f"buckets: expected sides in multiples of {multiple} pixels, which is what these networks halve "
                f"without a rest, got {width}x{height}"
            )
    if not sizes or len(set(sizes)) < len(sizes):
        raise UserError(f"buckets: expected canvases, each once, such as 512x512 and 448x576; got {given!a:.80}")
    return sizes


def read(text: str, side: int) -> tuple[Size, ...]:
    """`chosen` of what a command was given: "2", or "512x512,448x576", whose multiples the training knows.

    Raises:
        UserError: as `chosen`.
    """
    try:
        ratio = float(text)
    except ValueError:
        return chosen(text.split(","), side, 1)
    return chosen(ratio, side, USUAL)


def best(sizes: Sequence[Size], width: float, height: float) -> list[Size]:
    """All of them, the one that fits a picture of that shape best in front.

    What counts is by which factor the ratios of the sides differ, exactly, so that every machine says the same; then
    the larger area, then the order.
    """

    def apart(size: Size) -> tuple[Fraction, int]:
        ratio = Fraction(width) * size[1] / (Fraction(height) * size[0])
        return max(ratio, 1 / ratio), -size[0] * size[1]

    return sorted(sizes, key=apart)


def places(sizes: Sequence[Size], found: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of the sizes fits each picture best: int64 [N], for widths and heights [N, 2]."""
    kinds, which = np.unique(found, axis=0, return_inverse=True)
    of_kind = [sizes.index(best(sizes, *kind)[0]) for kind in kinds.tolist()]
    return np.array(of_kind, np.int64)[which.reshape(-1)]
