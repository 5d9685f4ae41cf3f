"""Hand masks: from the mask head to pixels, the growing and shrinking sequence, and their reduction to latents.

True means kept (the hand), False means painted. Source: the paper, section III-C; decisions A6.9 to A6.11.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
BlendRule = Literal["expansion", "naive", "bounding-box"]
"""The three rules of the paper's ablation (table II)."""


class MaskSettings(Protocol):
    """What a model says about the kept region: its canvas in pixels, and how masks shrink and reach latent cells."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def mask_reduction(self) -> Literal["area", "nearest", "max"]:
        """See `reduce_mask`."""
        ...

    @property
    def mask_schedule(self) -> Literal["pixels", "latent"]:
        """See `expansion_radii` and `cell_radii`."""
        ...

    @property
    def mask_radius(self) -> float:
        """The widest of `expansion_radii`, as a fraction of the canvas' shorter side."""
        ...

    @property
    def mask_count(self) -> int:
        """Of `cell_radii`."""
        ...


def binarise(prediction: NDArray[np.float32], threshold: float) -> Mask:
    """The mask head's linear output, any shape -> bool of that shape: clip to [0, 1], then at least `threshold`."""
    return np.asarray(np.clip(prediction, 0, 1) >= threshold)


def dilate(mask: Mask, radius: int) -> Mask:
    """`radius` dilations with a 3x3 square, which is one with a (2 radius + 1) square: bool [H, W] -> bool [H, W]."""
    if radius <= 0:
        return mask.copy()
    return _spread(_spread(mask, radius).T, radius).T


def _spread(mask: Mask, radius: int) -> Mask:
    """Along the columns: whether any of the 2 radius + 1 pixels around one is True."""
    height = len(mask)
    counts = np.concatenate([np.zeros((1, mask.shape[1]), np.int64), mask.cumsum(0)])
    rows = np.arange(height)
    return np.asarray(counts[np.minimum(rows + radius + 1, height)] > counts[np.maximum(rows - radius, 0)])


def bounding_box(mask: Mask) -> Mask:
    """The filled box around the mask; an empty mask stays empty."""
    box = np.zeros_like(mask)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows):
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return box


def expansion_radii(steps: int, widest: float) -> NDArray[np.int64]:
    """Radius of the kept mask's dilation after step s = 1..steps: round(widest (steps - s) / (steps - 1)).

    The widest comes first and the true mask last; one step keeps the true mask. `widest` is in pixels.
    """
    if steps == 1:
        return np.zeros(1, np.int64)
    s = np.arange(1, steps + 1)
    return np.floor(widest * (steps - s) / (steps - 1) + 0.5).astype(np.int64)


def cell_radii(steps: int, count: int) -> NDArray[np.int64]:
    """The same in latent cells, as Blended Latent Diffusion has it: `count` masks, the widest first, in equal shares.

    Mask m = 0..count - 1 has the radius count - 1 - m (kernels 2 count - 1, ..., 5, 3, and the true mask) and is used
    for steps // count + 1 steps: step s has the mask (s - 1) // (steps // count + 1).
    Source: read_mask of ldm/image_editor.py and ddim_sampling of ldm/models/diffusion/ddim.py in
    omriav/blended-latent-diffusion, whose count is its --mask_dilation_iterations + 1. OURS: the last step always has
    the true mask, which theirs does not reach where steps // count + 1 is too long a share (30 steps, 7 masks).
    """
    masks = np.minimum(np.arange(steps) // (steps // count + 1), count - 1)
    masks[-1] = count - 1
    return np.asarray(count - 1 - masks, np.int64)


def kept_radii(steps: int, settings: MaskSettings, shorter: int) -> NDArray[np.int64]:
    """Radius of the kept mask's dilation after step s = 1..steps by the model's schedule, for `dilated_cells`.

    Args:
        shorter: side of the canvas in pixels.
    """
    if settings.mask_schedule == "latent":
        return cell_radii(steps, settings.mask_count)
    return expansion_radii(steps, settings.mask_radius * shorter)


def dilated_cells(mask: Mask, radius: int, settings: MaskSettings, factor: int) -> Mask:
    """The latent cells of a mask dilated by a radius of `kept_radii`: bool [H, W] -> bool [H / factor, W / factor]."""
    if settings.mask_schedule == "latent":
        return dilate(reduce_mask(mask, factor, settings.mask_reduction), radius)
    return reduce_mask(dilate(mask, radius), factor, settings.mask_reduction)


def mask_table(hands: Sequence[Mask], steps: int, rule: BlendRule, settings: MaskSettings, factor: int) -> Mask:
    """Which latent cells are kept after each step.

    Row s - 1 is the paper's M_{T-s}: used after step s, dilated most at s = 1, undilated at s = T.

    Args:
        hands: one bool [H, W] per hand crop, on the canvas; may be empty.
        steps: T.
        rule: "expansion" shrinks the mask step by step; "naive" keeps the true mask throughout; "bounding-box" keeps
            the filled box of every hand throughout.
        settings: schedule and reduction.
        factor: pixels per latent cell.

    Returns:
        bool [steps, H / factor, W / factor].
    """
    empty = np.zeros((settings.height, settings.width), np.bool_)
    union = np.logical_or.reduce([empty, *hands])
    if rule == "expansion":
        radii = kept_radii(steps, settings, min(settings.height, settings.width)).tolist()
        rows = {radius: dilated_cells(union, radius, settings, factor) for radius in set(radii)}
        return np.stack([rows[radius] for radius in radii])
    kept = union if rule == "naive" else np.logical_or.reduce([empty, *(bounding_box(hand) for hand in hands)])
    return np.repeat(reduce_mask(kept, factor, settings.mask_reduction)[None], steps, 0)


def reduce_mask(mask: Mask, factor: int, how: Literal["area", "nearest", "max"]) -> Mask:
    """bool [H, W] -> bool [H / factor, W / factor].

    area: more than half of the cell; nearest: the cell's first pixel, as torch's nearest interpolation; max: any pixel.
    """
    h, w = mask.shape[0] // factor, mask.shape[1] // factor
    cells = mask[: h * factor, : w * factor].reshape(h, factor, w, factor)
    if how == "area":
        return np.asarray(cells.mean((1, 3)) > 0.5)
    return np.asarray(cells[:, 0, :, 0] if how == "nearest" else cells.any((1, 3)))
