"""Where pixels go and which belong together: similarity maps, warping, pasting, connected parts, nearest pixels.

Knows nothing about what is in a picture. NumPy only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float64]


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


def warp(
    image: NDArray[np.uint8] | NDArray[np.bool_] | NDArray[np.float64], to_input: Similarity, height: int, width: int
) -> NDArray[np.float64]:
    """`image` seen through a similarity map: an area mean where it shrinks, bilinear where it grows.

    Output pixel (x, y) covers the square [x, x + 1) x [y, y + 1), which `to_input` maps to a square of the input.
    Where that is a pixel or wider, the output is the exact mean over it (no aliasing, and whole-number factors are
    block means); where it is narrower, the bilinear value at its centre. Both agree at scale 1.

    Args:
        image: [H, W] or [H, W, C].
        to_input: output coordinates -> input coordinates, in continuous pixels (centres at i + .5).
        height, width: of the output.

    Returns:
        float64 [height, width] or [height, width, C]; 0 where a pixel's centre falls outside the input.
    """
    source = image.astype(np.float64)
    out = np.zeros((height, width, *source.shape[2:]))
    ys, down = _read(source, to_input.scale, to_input.dy, height)
    xs, across = _read(down.swapaxes(0, 1), to_input.scale, to_input.dx, width)
    out[ys, xs] = across.swapaxes(0, 1)
    return out


def _read(source: _Array, scale: float, offset: float, outputs: int) -> tuple[slice, _Array]:
    """One axis of `warp`: the outputs whose centres see the input [n, ...], and their values [count, ...]."""
    n = len(source)
    centres = scale * (np.arange(outputs) + 0.5) + offset
    seen = np.flatnonzero((centres >= 0) & (centres < n))
    here = slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 0)
    centre = centres[here]
    if scale < 1:
        return here, _between(source, np.clip(centre - 0.5, 0, n - 1))
    integral = np.concatenate([np.zeros_like(source[:1]), np.cumsum(source, 0)])
    low, high = np.maximum(centre - scale / 2, 0), np.minimum(centre + scale / 2, n)
    width = (high - low).reshape(-1, *[1] * (source.ndim - 1))
    return here, (_between(integral, high) - _between(integral, low)) / width


def _between(values: _Array, x: _Array) -> _Array:
    """Values [n, ...] at fractional indices x [count] in [0, n - 1], linear in between."""
    index = x.astype(np.int64)
    part = (x - index).reshape(-1, *[1] * (values.ndim - 1))
    mixed: _Array = (1 - part) * values[index] + part * values[np.minimum(index + 1, len(values) - 1)]
    return mixed


def connected(mask: NDArray[np.bool_], neighbours: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The connected parts of a mask, by joining runs of neighbouring rows.

    Args:
        mask: bool [H, W].
        neighbours: 4, or 8 to count corners as well.

    Returns:
        labels int64 [H, W], 1.. in the order of first pixels, 0 outside the mask; and every label's area.
    """
    height, width = mask.shape
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    stride, corner = width + 3, int(neighbours == 8)
    above = (rows - 1) * stride
    first = np.searchsorted(rows * stride + ends, above + starts - corner, "right")
    last = np.searchsorted(rows * stride + starts, above + ends + corner, "left")
    roots = _roots(first.tolist(), last.tolist())
    labels = np.zeros((height, width), np.int64)
    numbers = np.unique(roots, return_inverse=True)[1] + 1
    labels[mask] = np.repeat(numbers, ends - starts)
    return labels, np.bincount(labels.ravel())


def _roots(first: list[int], last: list[int]) -> list[int]:
    """The earliest run that each run is joined to, where run i touches the runs first[i] .. last[i] - 1 before it."""
    parents = list(range(len(first)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    for i, (low, high) in enumerate(zip(first, last, strict=True)):
        for j in range(low, high):
            a, b = sorted((root(i), root(j)))
            parents[b] = a
    return [root(i) for i in range(len(parents))]


def nearest(kept: NDArray[np.bool_], reach: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The exact Euclidean distance to the nearest kept pixel, row by row and then over the rows within reach.

    Args:
        kept: bool [H, W].
        reach: pixels; what is farther off is not looked for.

    Returns:
        distances [H, W], inf beyond reach; and that pixel's flat index, int64 [H, W], 0 where there is none.
    """
    height, width = kept.shape
    columns = np.arange(width, dtype=np.float64)
    left = np.maximum.accumulate(np.where(kept, columns, -np.inf), 1)
    right = np.minimum.accumulate(np.where(kept, columns, np.inf)[:, ::-1], 1)[:, ::-1]
    column = np.where(columns - left <= right - columns, left, right)
    across = (column - columns) ** 2
    best, index = np.full(kept.shape, np.inf), np.zeros(kept.shape, np.int64)
    flat = np.where(np.isfinite(column), column, 0).astype(np.int64) + width * np.arange(height)[:, None]
    most = min(math.ceil(reach), height - 1)
    for down in sorted(range(-most, most + 1), key=abs):
        here, there = slice(max(0, -down), height - max(0, down)), slice(max(0, down), height - max(0, -down))
        squared = across[there] + down**2
        closer = squared < best[here]
        best[here][closer] = squared[closer]
        index[here][closer] = flat[there][closer]
    distance = np.sqrt(best)
    far = distance > reach
    return np.where(far, np.inf, distance), np.where(far, 0, index)


def paste(
    image: NDArray[np.uint8], canvas: NDArray[np.uint8], kept: NDArray[np.bool_], feather: float = 0.0
) -> NDArray[np.uint8]:
    """The canvas inside the mask to the last bit, the image outside.

    Args:
        image, canvas: uint8 [H, W, 3].
        kept: bool [H, W], True on the hand.
        feather: pixels over which the canvas fades out beyond the mask's edge; kept pixels never change.
    """
    out = np.where(kept[..., None], canvas, image)
    if feather <= 0 or not kept.any():
        return out
    distance, index = nearest(kept, feather + 1)
    near = canvas.reshape(-1, 3)[index]  # the canvas' own background must not bleed into the fade
    weight = np.clip(1 - distance / (feather + 1), 0, 1)[..., None]
    faded = np.rint(weight * near + (1 - weight) * image).astype(np.uint8)
    return np.where(kept[..., None], canvas, faded)
