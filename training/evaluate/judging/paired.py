"""By how much one judged folder is better than another on the same poses: differences, pose by pose.

The bootstrap draws poses, and both folders' pictures of a pose with it: what makes a pose hard cancels out, so that the
interval of a difference tells more than those of the two figures. Knows nothing about how the pictures were made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handfirst.engines.errors import UserError
from handfirst.training.evaluate.judging import hands, pixels
from handfirst.training.evaluate.judging.held_out import HeldOut, held_out
from handfirst.training.evaluate.judging.run import (
    ASKED,
    PixelsSeen,
    Seen,
    looked_at,
    read_looks,
    sets_of,
)
from handfirst.training.evaluate.measure import Better, Measure, Weights, figure
from handfirst.training.evaluate.score import Sampling


@dataclass(frozen=True)
class Difference:
    """One figure of the first folder less that of the second.

    Attributes:
        set_, judge, metric, better: as in a Row.
        value: the difference.
        low, high: ends of its 95 % interval; None for fewer than five poses.
        n: how many things the first folder's figure is about.
    """

    set_: str
    judge: str
    metric: str
    better: Better
    value: float
    low: float | None
    high: float | None
    n: int


def differences(first: Path, second: Path, sampling: Sampling) -> list[Difference]:
    """All figures that both folders of `handfirst evaluate judge` have, over the poses that both have.

    Raises:
        UserError: no pose is in both, or a file in either is not what was seen.
    """
    out: list[Difference] = []
    for judge in sorted(set(looked_at(first)) & set(looked_at(second))):
        poses = [p for p in held_out() if all(p.key in looked_at(folder)[judge] for folder in (first, second))]
        pair = [_measures(folder, judge, poses) for folder in (first, second)]
        for set_, (kind, chosen) in sets_of(poses).items():
            for a, b in zip(*pair, strict=True):
                if a.name in ASKED[kind]:
                    out += _difference(a, b, (set_, judge), chosen, sampling)
    if not out:
        raise UserError(f"{first}, {second}: expected two folders that judged some of the same poses, found none")
    return out


def _measures(folder: Path, judge: str, poses: list[HeldOut]) -> list[Measure]:
    if judge == "pixels":
        return pixels.pixel_measures([each.made for each in read_looks(folder, judge, poses, PixelsSeen)])
    return hands.hand_measures([each.made for each in read_looks(folder, judge, poses, Seen)])


def _difference(
    a: Measure, b: Measure, where: tuple[str, str], chosen: np.ndarray, sampling: Sampling
) -> Iterator[Difference]:
    """Of poses of which both figures have something to say: none or one."""

    def statistic(weights: Weights) -> float:
        return a.statistic(weights) - b.statistic(weights)

    both = np.where(b.counts > 0, a.counts, 0)
    found = figure(statistic, both, chosen, sampling.resamples, sampling.seed)
    if found is not None:
        yield Difference(*where, a.name, a.better, found.value, found.low, found.high, found.n)
