"""Noise against torch's own CPU generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.runtime.diffusion.noise import MAX_SEED, part_seed, randn


def theirs(seed: int, *shape: int) -> np.ndarray:
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)).numpy()


@pytest.mark.parametrize("size", [*range(1, 41), 1000, 4 * 64 * 64])
def test_every_size_equals_torch(size: int) -> None:
    np.testing.assert_allclose(randn(42, (size,)), theirs(42, size), rtol=0, atol=2e-6)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 7, MAX_SEED])
def test_every_seed_equals_torch(seed: int) -> None:
    np.testing.assert_allclose(randn(seed, (3, 8, 24, 24)), theirs(seed, 3, 8, 24, 24), rtol=0, atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, MAX_SEED), st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_any_seed_and_shape_equals_torch(seed: int, shape: list[int]) -> None:
    ours = randn(seed, shape)
    assert ours.dtype == np.float32 and ours.shape == tuple(shape)
    np.testing.assert_allclose(ours, theirs(seed, *shape), rtol=0, atol=2e-6)


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="seed must lie between"):
        randn(seed, (1,))


def test_the_body_keeps_the_seed_and_the_hands_get_their_own() -> None:
    assert part_seed(7, "body") == 7
    seeds = {part_seed(s, p) for s in range(20) for p in ("hand-0-left", "hand-0-right", "hand-1-left")}
    assert len({s & 0xFFFFFFFF for s in seeds}) == 60  # torch looks at the low 32 bits only
    assert part_seed(7, "hand-0-left") == 8741391520591152331  # pinned: pictures must not change with a release
