"""FID against scipy's matrix root, KID against the sums of its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg

from handfirst.training.evaluate.distances import fid, fid_figure, kid, subset_size


def two_sets(real: int, made: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(width, width))
    return rng.normal(size=(real, width)) @ mix, 0.3 + 1.4 * rng.normal(size=(made, width)) @ mix.T


@pytest.mark.parametrize("width", [3, 24])
def test_fid_is_the_formula_with_scipys_root(width: int) -> None:
    real, made = two_sets(300, 200, width)
    a, b = np.cov(real, rowvar=False), np.cov(made, rowvar=False)
    root = linalg.sqrtm(a @ b).real
    expected = ((real.mean(0) - made.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root)
    assert fid(real, made) == pytest.approx(expected, rel=1e-8)


def test_fid_of_a_set_with_itself_is_nothing() -> None:
    real, _ = two_sets(100, 2, 5)
    assert fid(real, real) == pytest.approx(0, abs=1e-9)


def test_the_fid_interval_takes_the_excess_of_small_sets_off() -> None:
    """Two samples of one law: the distance is 0, the value is not, the interval reaches down to 0."""
    rng = np.random.default_rng(1)
    out = fid_figure(rng.normal(size=(60, 6)), rng.normal(size=(60, 6)), 60, 0)
    assert out.value > 0.1
    assert out.low == 0.0 and out.high is not None and out.high < 2 * out.value


def direct_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared MMD of (x.y / d + 1)^3, pair by pair."""
    m, n, d = len(x), len(y), x.shape[1]

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / d + 1) ** 3)

    own = sum(kernel(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    other = sum(kernel(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return own + other - 2 * sum(kernel(a, b) for a in x for b in y) / (m * n)


def test_kid_is_the_mean_of_the_definition_over_random_halves() -> None:
    real, made = two_sets(16, 20, 4)
    mean, spread = kid(real, made, seed=3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        values = []
        for _ in range(100):
            a, b = torch.randperm(16)[:8].numpy(), torch.randperm(20)[:8].numpy()
            values.append(direct_mmd(real[a], made[b]))
    assert mean == pytest.approx(np.mean(values), rel=1e-9)
    assert spread == pytest.approx(np.std(values), rel=1e-9)


def test_kid_leaves_torchs_own_stream_alone() -> None:
    real, made = two_sets(16, 16, 3)
    state = torch.get_rng_state()
    assert kid(real, made, 0) == kid(real, made, 0)
    assert torch.equal(state, torch.get_rng_state())


def test_subsets_are_halves_of_small_sets() -> None:
    assert [subset_size(*n) for n in ((12000, 12000), (5000, 1000), (500, 12000), (16, 16))] == [1000, 1000, 250, 8]
