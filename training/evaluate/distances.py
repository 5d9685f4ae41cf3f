"""FID and KID between two sets of features, by torchmetrics (`metrics` extra). Knows nothing about pictures.

Features are made once (inception.py) and handed to torchmetrics as they are, in double precision.
"""

from __future__ import annotations

import logging
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from handfirst.training.evaluate.measure import CONFIDENCE, Figure

SUBSETS, SUBSET_SIZE = 100, 1000
Features = NDArray[np.float64]


class Given(nn.Module):
    """A feature network whose pictures are features already: float64 [N, D] -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        """As they came."""
        return features


def fid(real: Features, made: Features) -> float:
    """Frechet distance of the normal distributions that fit real [N, D] and made [M, D]; N, M >= 2."""
    metric = FrechetInceptionDistance(feature=Given(real.shape[1]))
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(made), real=False)
    return float(metric.compute())


def fid_figure(real: Features, made: Features, resamples: int, seed: int) -> Figure:
    """FID with its bootstrap interval over both sets.

    FID of few pictures is too large, and a resampled set has fewer different pictures still. The interval is the
    "basic" one, which takes that excess off: of small sets the value itself may lie above it.
    """
    value = fid(real, made)
    if not resamples:
        return Figure(value, None, None, len(made))
    result = stats.bootstrap(
        (np.arange(len(real)), np.arange(len(made))),
        lambda a, b: fid(real[a], made[b]),
        vectorized=False,
        n_resamples=resamples,
        confidence_level=CONFIDENCE,
        method="basic",
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return Figure(value, max(0.0, float(low)), max(0.0, float(high)), len(made))


def subset_size(real: int, made: int) -> int:
    """1000 as everywhere; of fewer than 1000 pictures half of them, or all subsets would be the same."""
    fewest = min(real, made)
    return SUBSET_SIZE if fewest >= SUBSET_SIZE else fewest // 2


def kid(real: Features, made: Features, seed: int) -> tuple[float, float]:
    """Mean and standard deviation, over 100 random subsets, of the unbiased squared MMD of a cubic kernel.

    real [N, D], made [M, D]; N, M >= 4.
    """
    logging.getLogger("torchmetrics").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # that it keeps all features in memory
        torch.manual_seed(seed)
        metric = KernelInceptionDistance(
            feature=Given(real.shape[1]), subsets=SUBSETS, subset_size=subset_size(len(real), len(made))
        )
        metric.update(torch.from_numpy(real), real=True)
        metric.update(torch.from_numpy(made), real=False)
        mean, spread = metric.compute()
    return float(mean), float(spread)
