"""Streams: the same key gives the same numbers, another key others; the distributions are what they say."""

from __future__ import annotations

import torch

from handfirst.training.loop.feed import Draws

CPU = torch.device("cpu")


def test_a_stream_depends_on_its_key_alone() -> None:
    torch.manual_seed(1)
    first = Draws(CPU, 0, 5, 7).normal(4, 3)
    torch.manual_seed(2)
    assert torch.equal(first, Draws(CPU, 0, 5, 7).normal(4, 3))
    for other in ((0, 5, 8), (0, 6, 7), (1, 5, 7)):
        assert not torch.equal(first, Draws(CPU, *other).normal(4, 3))


def test_distributions() -> None:
    draws = Draws(CPU, 3)
    picks = draws.integers(7, 7000)
    assert picks.dtype == torch.int64 and abs(picks.bincount() / 7000 - 1 / 7).max() < 0.02
    assert abs(float(draws.chance(0.2, 10_000).float().mean()) - 0.2) < 0.02
    eps = draws.normal(100, 100)
    assert abs(float(eps.mean())) < 0.04 and abs(float(eps.std()) - 1) < 0.03
    level = draws.uniform(-1, 3, 10_000)
    assert level.min() >= -1 and level.max() <= 3 and abs(float(level.mean()) - 1) < 0.06
