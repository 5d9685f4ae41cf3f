"""Whose a pixel is that hands of several crops claim, so that no hand cuts another.

Masks of two crops overlap where hands touch or cross: stage 1 drew each as if the other were not there. Of the hands
that claim a pixel it goes to those whose bones are within a finger's thickness, to the last of them, which is in front;
where there are none, to the hand whose bones are nearest. So a finger in front stays whole, what is behind it goes on
beside it, and a mask that spills over takes nothing of another hand. OURS: the paper knows one person, whose hands
share a crop where they meet. Nothing in a pose says which hand is in front; that it is the last is a convention.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FLESH = 0.25
"""A finger's half thickness over the mean length of a hand's bones, which is 4 cm of .9 (training/data/procedural)."""

Bones = NDArray[np.float64]
"""Ends of bones in pixels, [N, 2, 2]."""


def share_out(claims: Sequence[NDArray[np.bool_]], bones: Sequence[Bones | None]) -> list[NDArray[np.bool_]]:
    """The same masks with every pixel in one of them alone.

    Args:
        claims: bool [H, W] each, from back to front.
        bones: of each, in the masks' pixels; of one without any, all that others claim beside it is theirs, and of two
            without any the later one's.
    """
    counts = np.sum(claims, 0) if claims else np.zeros(0)
    contested = counts > 1
    if not contested.any():
        return list(claims)
    rows, columns = np.nonzero(contested)
    pixels: NDArray[np.float64] = np.column_stack([columns, rows]).astype(np.float64) + 0.5
    rank = np.stack([_rank(pixels, place, each) for place, each in enumerate(bones)])
    claimed = np.stack([claim[contested] for claim in claims])
    rank = np.where(claimed, rank, -np.inf)
    owner = len(claims) - 1 - np.argmax(rank[::-1], 0)
    shares = [claim.copy() for claim in claims]
    for place, share in enumerate(shares):
        share[contested] = claimed[place] & (owner == place)
    return shares


def _rank(pixels: NDArray[np.float64], place: int, bones: Bones | None) -> NDArray[np.float64]:
    """[P]: 1 and more within a finger's thickness, the more the nearer to the front; else less the farther away."""
    if bones is None or not len(bones):
        return np.full(len(pixels), -np.finfo(np.float64).max)
    distance = distances(pixels, bones)
    flesh = FLESH * float(np.hypot(*(bones[:, 1] - bones[:, 0]).T).mean())
    return np.where(distance <= flesh, place + 1.0, -distance)


def distances(pixels: NDArray[np.float64], bones: Bones) -> NDArray[np.float64]:
    """From points [P, 2] to the nearest of the bones, [P]."""
    start, along = bones[:, 0], bones[:, 1] - bones[:, 0]
    squared = np.maximum((along**2).sum(1), 1e-12)
    share = np.clip(((pixels[:, None] - start) * along).sum(2) / squared, 0, 1)
    nearest = start + share[..., None] * along
    found: NDArray[np.float64] = np.sqrt(((pixels[:, None] - nearest) ** 2).sum(2)).min(1)
    return found
