"""What can be said of a picture without a judge: its colours, the seam around what was kept, what changed there, masks.

Knows nothing about models, or about what a good picture is: each figure stands beside that of the true render.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from handfirst.runtime.diffusion.masks import dilate
from handfirst.training.data.procedural.sample import Sample
from handfirst.training.evaluate.colours import Mask, Rgb, background_region, chest_region, region_colour
from handfirst.training.evaluate.judging.painting import Painted
from handfirst.training.evaluate.measure import Measure, Weights, mean_of

BORDER, INNER, OUTER = 1, 3, 6  # pixels from the mask's border: the seam, and where its surroundings begin and end
QUIET = 1.0  # grey levels squared, added to both energies: a flat picture has a ratio of 1
LUMA = (0.299, 0.587, 0.114)
METRICS = ("seam_energy", "changed_most", "changed_mean", "mask_iou", "background_colour", "top_colour")


class PixelLook(BaseModel):
    """Of one picture; None where a figure makes no sense there.

    Attributes:
        seam_energy: ratio, 1 where the border of the mask is as busy as its surroundings.
        changed_most, changed_mean: absolute difference to what had to stay, in 8-bit levels.
        mask_iou: of the drawn hand's mask with the true one.
        background_colour, top_colour: whether the region has the colour that the words name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    seam_energy: float | None = None
    changed_most: float | None = None
    changed_mean: float | None = None
    mask_iou: float | None = None
    background_colour: bool | None = None
    top_colour: bool | None = None


def look_at_pixels(painted: Painted, sample: Sample) -> PixelLook:
    """The figures of a picture that was made for the pose and words of `sample`, of the same size."""
    kept, given, person = painted.kept, painted.given, "frame" in sample.attributes
    most, mean = (None, None) if kept is None or given is None else changed(painted.image, given, kept)
    background, top = _colours(painted.image, sample) if person else (None, None)
    return PixelLook(
        seam_energy=None if kept is None else seam_energy(painted.image, kept),
        changed_most=most,
        changed_mean=mean,
        mask_iou=None if painted.mask is None else intersection_over_union(painted.mask, sample.hands > 0),
        background_colour=background,
        top_colour=top,
    )


def true_look(sample: Sample) -> PixelLook:
    """The same of the true render, whose hands are what is kept."""
    person = "frame" in sample.attributes
    hands = sample.hands > 0
    background, top = _colours(sample.rgb, sample) if person else (None, None)
    seam = seam_energy(sample.rgb, hands) if person and hands.any() else None
    overlap = None if person else intersection_over_union(hands, hands)
    return PixelLook(seam_energy=seam, mask_iou=overlap, background_colour=background, top_colour=top)


def seam_energy(image: Rgb, mask: Mask) -> float | None:
    """Gradient energy on the mask's border over that of its surroundings, (border + 1) / (around + 1).

    Energy is the mean of gx^2 + gy^2 of the luma, in 8-bit levels, by central differences (one-sided at the picture's
    edge). The border is what lies at most 1 pixel from the outline, on both sides of it; the surroundings lie more
    than 3 and at most 6 pixels from it, on both sides. None where either is empty.

    Args:
        image: uint8 [H, W, 3].
        mask: bool [H, W].
    """
    border, near, far = (dilate(mask, r) & dilate(~mask, r) for r in (BORDER, INNER, OUTER))
    around = far & ~near
    if not border.any() or not around.any():
        return None
    down, across = np.gradient(image @ np.array(LUMA))
    energy = down**2 + across**2
    return float((energy[border].mean() + QUIET) / (energy[around].mean() + QUIET))


def changed(image: Rgb, given: Rgb, kept: Mask) -> tuple[float, float] | tuple[None, None]:
    """Largest and mean absolute difference, over the pixels that had to stay and their three channels."""
    if not kept.any():
        return None, None
    difference = np.abs(image[kept].astype(np.int64) - given[kept])
    return float(difference.max()), float(difference.mean())


def intersection_over_union(found: Mask, true: Mask) -> float:
    """0 where both are empty."""
    return float((found & true).sum() / max(int((found | true).sum()), 1))


def _colours(image: Rgb, sample: Sample) -> tuple[bool | None, bool | None]:
    regions = (background_region(sample.person_mask), chest_region(sample.keypoints, sample.hands > 0))
    words = (sample.attributes["background_colour"], sample.attributes["top"])
    found = [region_colour(image, region) for region in regions]
    first, second = (None if f is None else f == w for f, w in zip(found, words, strict=True))
    return first, second


def pixel_measures(looks: Sequence[PixelLook]) -> list[Measure]:
    """METRICS in their order, over N pictures."""

    def values(name: str) -> list[list[float]]:
        return [[float(v)] if (v := getattr(look, name)) is not None else [] for look in looks]

    return [
        mean_of("seam_energy", "seam against its surroundings", "lower", values("seam_energy")),
        _largest("changed_most", "largest change of what had to stay", values("changed_most")),
        mean_of("changed_mean", "mean change of what had to stay", "lower", values("changed_mean")),
        mean_of("mask_iou", "intersection over union of masks", "higher", values("mask_iou")),
        mean_of("background_colour", "background as named", "higher", values("background_colour")),
        mean_of("top_colour", "top as named", "higher", values("top_colour")),
    ]


def _largest(name: str, title: str, rows: Sequence[Sequence[float]]) -> Measure:
    """The largest value of any picture that takes part."""
    counts = np.array([len(row) for row in rows], np.int64)
    most: NDArray[np.float64] = np.array([max(row, default=-np.inf) for row in rows])

    def statistic(weights: Weights) -> float:
        return float(np.where(weights > 0, most, -np.inf).max())

    return Measure(name, title, "lower", statistic, counts)
