"""COCO's average precision of found people: how near found points lie to true ones, in units of the person's size
(object key point similarity), and precision over pictures that may be weighted, so that a resampled set costs no new
matching.

Knows nothing about files or detectors. The formulas are COCO's, checked against pycocotools; the constants are
COCO-WholeBody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import BODY, LEFT_HAND, POINTS, RIGHT_HAND

Part = Literal["whole", "body", "hands"]
PARTS: dict[Part, NDArray[np.int64]] = {
    "whole": np.arange(POINTS),
    "body": np.r_[BODY],
    "hands": np.r_[LEFT_HAND, RIGHT_HAND],
}
"""Which of the 133 points a figure is about."""

_BODY = (26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89)
_FEET = (68, 66, 66, 92, 94, 94)
_FACE = (
    42, 43, 44, 43, 40, 35, 31, 25, 20, 23, 29, 32, 37, 38, 43, 41, 45,
    13, 12, 11, 11, 12, 12, 11, 11, 13, 15, 9, 7, 7, 7, 12, 9, 8, 16, 10, 17,
    11, 9, 11, 9, 7, 13, 8, 11, 12, 10, 34, 8, 8, 9, 8, 8, 7, 10, 8, 9, 9, 9, 7, 7, 8, 11, 8, 8, 8, 10, 8,
)  # fmt: skip
_HAND = (29, 22, 35, 37, 47, 26, 25, 24, 35, 18, 24, 22, 26, 17, 21, 21, 32, 20, 19, 22, 31)
SIGMAS: NDArray[np.float64] = np.array(_BODY + _FEET + _FACE + _HAND + _HAND) / 1000
"""[133], in COCO-WholeBody's order [mmpose: configs/_base_/datasets/coco_wholebody.py]."""


def box_area(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """points [..., K, 2] in pixels, NaN = missing -> width x height of their box, [...]; 0 for fewer than two points.

    The paper's people have no box but that of their key points [HumanSD: utils/metrics/pose_metrics.py].
    """
    known = np.asarray(np.isfinite(points).all(-1))
    low = np.where(known[..., None], points, np.inf).min(-2)
    high = np.where(known[..., None], points, -np.inf).max(-2)
    extent: NDArray[np.float64] = np.where(np.asarray(known.any(-1))[..., None], high - low, 0.0)
    return np.asarray(extent.prod(-1))


def oks(
    found: NDArray[np.float64], true: NDArray[np.float64], areas: NDArray[np.float64], sigmas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Similarity of every found person with every true one.

    A true point that is missing does not count; a found point that is missing counts as infinitely far.

    Args:
        found: [D, K, 2] in pixels, NaN = missing.
        true: [G, K, 2], likewise.
        areas: [G], of the whole person in square pixels, also where K points of the hands alone are compared.
        sigmas: [K].

    Returns:
        [D, G] in 0..1; 0 where a true person has no point.
    """
    squared = ((found[:, None] - true[None]) ** 2).sum(-1)
    spread = 2 * (2 * sigmas) ** 2 * (areas[:, None] + np.spacing(1))
    near = np.where(np.isfinite(squared), np.exp(-np.nan_to_num(squared) / spread), 0.0)
    count = np.isfinite(true).all(-1).sum(-1)
    return np.asarray(near.sum(-1) / np.maximum(count, 1))


THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
RECALLS: NDArray[np.float64] = np.linspace(0, 1, 101)
MOST = 20
"""Found people per picture that are looked at, the surest first."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Which finds are hits, over N pictures and K finds, the surest find first.

    Attributes:
        picture: int [K], the picture of each find.
        hit: bool [10, K], whether it is a hit at each of THRESHOLDS.
        truths: int [N], true people in each picture.
    """

    picture: NDArray[np.int64]
    hit: NDArray[np.bool_]
    truths: NDArray[np.int64]


def match(similarities: Sequence[NDArray[np.float64]], scores: Sequence[NDArray[np.float64]]) -> Matches:
    """Pairs finds with truths, picture by picture.

    Args:
        similarities: per picture [D, G], found people against true ones.
        scores: per picture [D].
    """
    pictures, hits, sure = [], [], []
    for i, (table, score) in enumerate(zip(similarities, scores, strict=True)):
        order = np.argsort(-score, kind="stable")[:MOST]
        pictures.append(np.full(len(order), i))
        hits.append(np.stack([_pair(table[order], t) for t in THRESHOLDS]))
        sure.append(score[order])
    order = np.argsort(-np.concatenate(sure), kind="stable") if sure else np.zeros(0, np.int64)
    return Matches(
        picture=np.concatenate(pictures)[order] if pictures else order,
        hit=np.concatenate(hits, 1)[:, order] if hits else np.zeros((len(THRESHOLDS), 0), np.bool_),
        truths=np.array([table.shape[1] for table in similarities], np.int64),
    )


def _pair(table: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """table [D, G], the surest find first: each takes the nearest truth that is left and near enough."""
    left = table.copy()
    hit = np.zeros(len(table), np.bool_)
    for d in range(len(table) if table.size else 0):
        best = len(left[d]) - 1 - int(left[d][::-1].argmax())  # of equal truths the last one, as in COCO's code
        if left[d, best] >= threshold:
            hit[d] = True
            left[:, best] = -1.0
    return hit


def average_precision(matches: Matches, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average precision at each of THRESHOLDS, [10], over 101 points of recall; NaN without a true person.

    Args:
        weights: [N], how often each picture counts.
    """
    truths = float(matches.truths @ weights)
    if truths == 0:
        return np.full(len(THRESHOLDS), np.nan)
    weight = weights[matches.picture]
    right = np.cumsum(matches.hit * weight, 1)
    wrong = np.cumsum(~matches.hit * weight, 1)
    precision = right / (right + wrong + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    padded = np.concatenate([envelope, np.zeros((len(THRESHOLDS), 1))], 1)
    recall = right / truths
    return np.array([padded[t, np.searchsorted(recall[t], RECALLS)].mean() for t in range(len(THRESHOLDS))])
