"""The order of examples: every epoch shows what its weights say, in any order of asking."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.engines.errors import UserError
from handfirst.training.loop.samples import Mixture, Pick

SOURCES = st.lists(st.tuples(st.integers(1, 12), st.sampled_from([0.3, 0.5, 1.0, 2.0, 3.0])), min_size=1, max_size=3)


def epoch(mixture: Mixture, number: int) -> list[Pick]:
    return [mixture.pick(number * mixture.epoch + i) for i in range(mixture.epoch)]


@given(st.integers(1, 40), st.integers(0, 5), st.integers(0, 3))
def test_with_one_source_an_epoch_is_a_permutation(size: int, seed: int, number: int) -> None:
    picks = epoch(Mixture([size], [1.0], seed), number)
    assert sorted(picks) == [(0, i) for i in range(size)]


@given(SOURCES, st.integers(0, 3))
@settings(max_examples=50)
def test_weights_are_how_often_an_example_is_seen(sources: list[tuple[int, float]], seed: int) -> None:
    sizes, weights = zip(*sources, strict=True)
    mixture = Mixture(sizes, weights, seed)
    epochs = 4
    seen = Counter(pick for e in range(epochs) for pick in epoch(mixture, e))
    for source, (size, weight) in enumerate(sources):
        draws = epochs * max(1, round(size * weight))
        counts = [seen[Pick(source, i)] for i in range(size)]
        assert sum(counts) == draws
        assert max(counts) - min(counts) <= 1  # permutation after permutation: nobody waits for a second turn


@given(st.lists(st.integers(0, 200), min_size=1, max_size=20))
def test_a_place_is_the_same_whenever_it_is_asked_for(places: list[int]) -> None:
    fresh = [Mixture([7, 5], [1.0, 2.0], 3).pick(p) for p in places]
    mixture = Mixture([7, 5], [1.0, 2.0], 3)
    assert [mixture.pick(p) for p in places] == fresh


def test_epochs_and_seeds_differ() -> None:
    a, b = Mixture([50], [1.0], 0), Mixture([50], [1.0], 1)
    assert epoch(a, 0) != epoch(a, 1)
    assert epoch(a, 0) != epoch(b, 0)


def test_a_weight_must_be_positive() -> None:
    with pytest.raises(UserError, match="positive, got 0"):
        Mixture([5], [0.0], 0)
