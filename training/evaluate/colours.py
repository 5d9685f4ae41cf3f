"""Does a picture have the colours that its prompt names: the background's and the top's, where the pose says they are.

A region's colour is its median; its name is the nearest of the renderer's palette in CIE L*a*b*. Shade moves a colour,
so even a true render does not always agree with its own words: report it beside what was painted. Knows nothing about
patterns, trousers or hair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.diffusion.masks import dilate
from handfirst.training.data.procedural.palette import colour_name

Mask = NDArray[np.bool_]
Rgb = NDArray[np.uint8]
LEAST = 20  # pixels that make a region
AROUND = 0.03  # of the picture's side: this close to the person is not background
CHEST_BELOW, CHEST_RADIUS = 0.45, 0.22  # of the shoulders' distance: below their middle


@dataclass(frozen=True, eq=False)
class Coloured:
    """Where a picture's colours are known: masks bool [H, W] and the words for them; a region may be empty."""

    background: Mask
    background_colour: str
    top: Mask
    top_colour: str


def background_region(person: Mask) -> Mask:
    """What lies clear of the person, both bool [H, W]."""
    return ~dilate(person, round(AROUND * len(person)))


def chest_region(keypoints: NDArray[np.float32], hands: Mask) -> Mask:
    """A disc on the chest without the hands; empty where a shoulder is unknown.

    Args:
        keypoints: [133, 3] in pixels, third column > 0 where known.
        hands: bool [H, W].
    """
    left, right = keypoints[5], keypoints[6]
    if min(left[2], right[2]) <= 0:
        return np.zeros_like(hands)
    width = float(np.hypot(*(left - right)[:2]))
    cx, cy = (left[:2] + right[:2]) / 2 + (0, CHEST_BELOW * width)
    y, x = np.ogrid[: hands.shape[0], : hands.shape[1]]
    disc = (x + 0.5 - cx) ** 2 + (y + 0.5 - cy) ** 2 < (CHEST_RADIUS * width) ** 2
    return np.asarray(disc & ~dilate(hands, round(AROUND * len(hands))))


def region_colour(image: Rgb, region: Mask) -> str | None:
    """The name of a region's median colour; None where it has too few pixels."""
    return colour_name(np.median(image[region], 0) / 255) if region.sum() >= LEAST else None


def agreement(images: Sequence[Rgb], truth: Sequence[Coloured]) -> dict[str, float]:
    """Share of the pictures whose "background" and "top" have the colour that the words name; NaN without any."""
    shares = {}
    for name in ("background", "top"):
        pairs = [
            (region_colour(image, getattr(t, name)), getattr(t, f"{name}_colour"))
            for image, t in zip(images, truth, strict=True)
        ]
        known = [found == wanted for found, wanted in pairs if found is not None]
        shares[name] = float(np.mean(known)) if known else float("nan")
    return shares
