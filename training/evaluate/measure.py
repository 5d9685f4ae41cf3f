"""A measure: a figure that can be taken over any pictures, weighted or not; and its interval, by resampling pictures.

Pictures, not points or hands, are drawn: those of one picture depend on each other. Knows nothing about what is
measured.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Weights = NDArray[np.float64]
Statistic = Callable[[Weights], float]
"""weights [N], how often each picture counts -> a figure; NaN where these pictures have nothing to measure."""

CONFIDENCE = 0.95
FEWEST = 5
"""Of fewer pictures no interval is given: they cannot tell how much pictures differ."""


@dataclass(frozen=True)
class Figure:
    """A measured value.

    Attributes:
        value: the figure itself.
        low, high: ends of the 95 % interval, None where there is none (few pictures, nothing resampled).
        n: how many things it is about.
        spread: standard deviation over random subsets, of KID alone.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    spread: float | None = None


def figure(
    statistic: Statistic, counts: NDArray[np.int64], pictures: NDArray[np.int64], resamples: int, seed: int
) -> Figure | None:
    """A statistic over some of the pictures, with its interval.

    Args:
        statistic: of weights over all N pictures.
        counts: [N], how many things each picture holds; pictures that hold none are not drawn.
        pictures: indices of the pictures that take part.
        resamples: 0 for no interval.

    Returns:
        None where there is nothing to measure.
    """
    held = pictures[counts[pictures] > 0]
    value = statistic(_weights(held, len(counts))) if len(held) else math.nan
    if not math.isfinite(value):
        return None
    low, high = None, None
    if resamples and len(held) >= FEWEST:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # all pictures alike: the interval is a point
            result = stats.bootstrap(
                (held,),
                lambda drawn: statistic(_weights(drawn, len(counts))),
                vectorized=False,
                n_resamples=resamples,
                confidence_level=CONFIDENCE,
                method="percentile",
                rng=np.random.default_rng(seed),
            )
        low, high = float(result.confidence_interval.low), float(result.confidence_interval.high)
        low, high = (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)
    return Figure(value, low, high, int(counts[held].sum()))


def ratio(totals: NDArray[np.float64], counts: NDArray[np.int64]) -> Statistic:
    """The mean over all things of all pictures: totals [N] and counts [N] are each picture's sum and number."""

    def mean(weights: Weights) -> float:
        number = float(weights @ counts)
        return float(weights @ totals) / number if number else math.nan

    return mean


def _weights(drawn: NDArray[np.int64], count: int) -> Weights:
    return np.bincount(drawn, minlength=count).astype(np.float64)


Better = Literal["higher", "lower"]


@dataclass(frozen=True, eq=False)
class Measure:
    """One line of the report.

    Attributes:
        name: as in evaluate.json.
        title: for people.
        better: which way is better.
        statistic: of weights over all N pictures.
        counts: int [N], how many things (people, points, hands) each picture adds to it.
    """

    name: str
    title: str
    better: Better
    statistic: Statistic
    counts: NDArray[np.int64]


def mean_of(name: str, title: str, better: Better, values: Sequence[Sequence[float]]) -> Measure:
    """The mean of any number of values per picture, all pictures pooled."""
    totals = np.array([sum(row) for row in values], np.float64)
    counts = np.array([len(row) for row in values], np.int64)
    return Measure(name, title, better, ratio(totals, counts), counts)
