"""The key-point condition c_p of the hand generator (paper, section III-B): ten finger maps and a mask.

Knows nothing about crops or people: points come in the crop's own pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import FINGERS
from handfirst.runtime.systems.two_stage.settings import ConditionSettings

Maps = NDArray[np.float32]


def finger_maps(
    left: NDArray[np.float64] | None, right: NDArray[np.float64] | None, size: int, settings: ConditionSettings
) -> Maps:
    """One map per finger: the maximum over its points of a_j exp(-|p - u_j|^2 / sigma^2).

    Args:
        left, right: [21, 2] crop pixels, NaN where missing; None for an absent hand.
        size: side of the crop in pixels; p runs over pixel centres.
        settings: sigma (fraction of `size`), amplitudes a_j, whether the wrist belongs to every finger.

    Returns:
        float32 [10, size, size] in [0, 1]: thumb..pinky of the left hand, then of the right.
    """
    maps = np.zeros((10, size, size), np.float32)
    for hand, points in enumerate((left, right)):
        if points is None:
            continue
        for finger, joints in enumerate(FINGERS):
            for j in (0, *joints) if settings.wrist else joints:
                if np.isfinite(points[j]).all():
                    _stamp(maps[5 * hand + finger], points[j], settings.sigma * size, settings.amplitude[j])
    return maps


def _stamp(target: Maps, point: NDArray[np.float64], sigma: float, amplitude: float) -> None:
    """Maximum of `target` and one Gaussian; beyond 5 sigma it is below 2e-11 and left out."""
    size = len(target)
    low = np.clip(np.floor(point - 5 * sigma), 0, size).astype(int)
    high = np.clip(np.ceil(point + 5 * sigma), 0, size).astype(int)
    if (low >= high).any():
        return
    across, down = (
        np.exp(-(((np.arange(a, b) + 0.5 - c) / sigma) ** 2)) for a, b, c in zip(low, high, point, strict=True)
    )
    window = target[low[1] : high[1], low[0] : high[0]]
    np.maximum(window, (amplitude * np.outer(down, across)).astype(np.float32), out=window)


def reduce_bilinear(maps: Maps, grid: int) -> Maps:
    """[C, S, S] -> [C, grid, grid] as torch's interpolate(mode="bilinear", align_corners=False) with a whole factor.

    Each output is read at the centre of its cell: the mean of the four middle pixels, or the middle pixel itself.
    """
    factor, rest = divmod(maps.shape[-1], grid)
    if rest:
        raise ValueError(f"the maps' side {maps.shape[-1]} must be a multiple of grid {grid}")
    low, high = (factor - 1) // 2, factor // 2
    rows = (maps[:, low::factor] + maps[:, high::factor]) / 2
    reduced: Maps = ((rows[:, :, low::factor] + rows[:, :, high::factor]) / 2).astype(np.float32)
    return reduced


def fold(maps: Maps, factor: int) -> Maps:
    """Pixel-unshuffle: [C, h f, w f] -> [C f^2, h, w], channel order as torch.pixel_unshuffle."""
    c, h, w = maps.shape
    cells = maps.reshape(c, h // factor, factor, w // factor, factor).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(cells.reshape(c * factor**2, h // factor, w // factor))


def condition(
    left: NDArray[np.float64] | None,
    right: NDArray[np.float64] | None,
    mask: NDArray[np.float32] | None,
    size: int,
    settings: ConditionSettings,
    factor: int,
) -> Maps:
    """c_p: finger maps and mask, reduced to the grid and folded to the latent's size.

    Args:
        left, right: as in finger_maps.
        mask: [size, size] in [0, 1], 1 on the hand; None for the mask-free condition (zeros).
        size: side of the crop in pixels.
        factor: pixels per latent cell.

    Returns:
        float32 [11 fold^2, size / factor, size / factor].
    """
    if settings.grid // settings.fold * factor != size:
        raise ValueError(f"grid {settings.grid} / fold {settings.fold} x factor {factor} must equal the size {size}")
    last = np.zeros((1, size, size), np.float32) if mask is None else np.asarray(mask, np.float32)[None]
    maps = np.concatenate([finger_maps(left, right, size, settings), last])
    return fold(reduce_bilinear(maps, settings.grid), settings.fold)
