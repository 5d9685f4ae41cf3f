"""COCO's average precision over pictures that may be weighted, so that a resampled set costs no new matching.

Knows nothing about key points: similarities in, precision out. Checked against pycocotools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
