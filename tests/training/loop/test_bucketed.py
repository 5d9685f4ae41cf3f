"""Examples in buckets: one size a batch, nothing left out, the same in any order of asking and for all ranks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.engines.errors import UserError
from handfirst.training.loop.bucketed import BucketedMixture
from handfirst.training.loop.feed import Share

SOURCES = st.lists(
    st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=25), st.sampled_from([0.5, 1.0, 2.0])),
    min_size=1, max_size=3,
)  # fmt: skip
BATCH = st.integers(1, 8)


def mixture(sources: list[tuple[list[int], float]], batch: int, seed: int = 0) -> BucketedMixture:
    return BucketedMixture([np.array(which) for which, _ in sources], [w for _, w in sources], seed, batch)


@settings(max_examples=80, deadline=None)
@given(SOURCES, BATCH)
def test_a_batch_has_one_bucket_and_every_bucket_its_share(sources: list[tuple[list[int], float]], batch: int) -> None:
    """After r whole rounds a bucket with E positions an epoch has given floor(r E / batch) batches."""
    made = mixture(sources, batch)
    epochs = {
        b: sum(max(1, round(which.count(b) * w)) for which, w in sources if b in which)
        for b in sorted({b for which, _ in sources for b in which})
    }
    assert made.epoch == sum(epochs.values())
    rounds = 6
    wanted = {b: rounds * e // batch for b, e in epochs.items()}
    given_: Counter[int] = Counter()
    seen: Counter[tuple[int, int]] = Counter()
    for step in range(sum(wanted.values())):
        picks = [made.pick(step * batch + i) for i in range(batch)]
        (bucket,) = {sources[pick.source][0][pick.example] for pick in picks}
        given_[bucket] += 1
        seen.update((pick.source, pick.example) for pick in picks)
    assert {b: given_[b] for b in epochs} == wanted
    if all(
        w == 1 for _, w in sources
    ):  # each example of a bucket as often as any other of it, but for unfinished epochs
        for b in epochs:
            counts = [seen[s, i] for s, (which, _) in enumerate(sources) for i, of in enumerate(which) if of == b]
            assert max(counts) - min(counts) <= 1


@settings(max_examples=40, deadline=None)
@given(SOURCES, BATCH, st.lists(st.integers(0, 300), min_size=1, max_size=20))
def test_a_place_is_the_same_whenever_it_is_asked_for(
    sources: list[tuple[list[int], float]], batch: int, positions: list[int]
) -> None:
    made = mixture(sources, batch)
    assert [made.pick(p) for p in positions] == [mixture(sources, batch).pick(p) for p in positions]


@settings(max_examples=30, deadline=None)
@given(SOURCES, st.integers(1, 3), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2]))
def test_ranks_and_parts_share_one_batch(
    sources: list[tuple[list[int], float]], size: int, processes: int, parts: int
) -> None:
    batch = size * processes * parts
    made = mixture(sources, batch)
    shares = [list(Share(batch, parts, processes, rank).places(0, 5)) for rank in range(processes)]
    assert {len(places) for places in shares} == {5 * batch // processes}
    for step in range(5):
        here = [p for places in shares for p in places if p // batch == step]
        assert sorted(here) == list(range(step * batch, (step + 1) * batch))
        assert len({sources[made.pick(p).source][0][made.pick(p).example] for p in here}) == 1


def test_what_takes_most_memory_is_found() -> None:
    made = mixture([([3] * 20 + [1] * 2, 1.0)], 2)
    assert {made.pick(place).example for place in made.alike(4)} == {20, 21}
    assert len(made.alike(1)) == 1


def test_seeds_differ_and_a_weight_must_be_positive() -> None:
    sources = [([0, 1, 2] * 10, 1.0)]
    orders = [[mixture(sources, 3, seed).pick(p) for p in range(60)] for seed in (0, 1)]
    assert orders[0] != orders[1]
    with pytest.raises(UserError, match="positive, got 0"):
        mixture([([0], 0.0)], 2)
