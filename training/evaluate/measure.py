"""A measure: a figure that can be taken over any pictures, weighted or not. Knows nothing about where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.training.evaluate.bootstrap import Statistic, ratio

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
