"""What a mask's pixels have to do with each other: connected parts, and the nearest kept pixel. NumPy only."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


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
