"""The draw: proportions, nesting, independence of the source's order, what is held out."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.training.data.prepare.draw import Candidates, draw, hold_out, rank, shares


def candidates(strata: list[int], groups: list[int], seed: int = 0) -> Candidates:
    return Candidates(
        np.array([rank(seed, str(i)) for i in range(len(strata))], np.uint64),
        np.array([rank(seed, "group", str(g)) for g in groups], np.uint64),
        np.array(strata, np.int64),
    )


many = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=80)


@settings(max_examples=100, deadline=None)
@given(many, st.integers(1, 90))
def test_every_gesture_keeps_its_share(pairs: list[tuple[int, int]], count: int) -> None:
    """Within one picture of the exact proportion, and exactly `count` in all."""
    strata = [s for s, _ in pairs]
    drawn = draw(candidates(strata, [0] * len(strata)), count)
    wanted = min(count, len(strata))
    assert len(drawn) == len(set(drawn.tolist())) == wanted
    got, had = Counter(strata[i] for i in drawn), Counter(strata)
    assert all(abs(got[s] - had[s] * wanted / len(strata)) < 1 for s in had)


@settings(max_examples=50, deadline=None)
@given(many, st.integers(1, 80), st.randoms(use_true_random=False))
def test_the_order_of_a_source_does_not_matter(pairs: list[tuple[int, int]], count: int, random) -> None:
    names = list(range(len(pairs)))
    random.shuffle(names)
    whole = candidates([0] * len(pairs), [g for _, g in pairs])
    assert [names[i] for i in draw(whole.take(np.array(names)), count)] == draw(whole, count).tolist()


def test_a_larger_draw_holds_the_smaller_one() -> None:
    whole = candidates([0] * 200, [0] * 200)
    assert set(draw(whole, 50)) < set(draw(whole, 120))


def test_another_seed_draws_others() -> None:
    drawn = [set(draw(candidates([0] * 200, [0] * 200, seed), 100).tolist()) for seed in (0, 1)]
    assert 20 < len(drawn[0] & drawn[1]) < 80


def test_ranks_are_even() -> None:
    """Of 4,000 ranks a quarter lies in each quarter of the range: chi-square below its 99.9 % point (3 degrees)."""
    quarters = np.bincount([rank(0, "hagrid", str(i)) >> 62 for i in range(4000)], minlength=4)
    assert ((quarters - 1000) ** 2 / 1000).sum() < 16.27


def test_shares_by_the_largest_remainders() -> None:
    """10 among 3, 3, 1: exactly 4.286, 4.286, 1.43; the rest of 1 goes to .43."""
    assert shares(np.array([3, 3, 1]), 10).tolist() == [4, 4, 2]


@pytest.mark.parametrize(("count", "held"), [(0, 0), (7, 7), (50, 20)])
def test_at_most_a_tenth_is_held_out(count: int, held: int) -> None:
    learn, out = hold_out(candidates([0] * 200, [0] * 200), count)
    assert len(out) == held
    assert sorted([*learn.tolist(), *out.tolist()]) == list(range(200))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=10, max_size=300), st.integers(0, 40))
def test_at_most_one_group_is_torn(groups: list[int], count: int) -> None:
    learn, out = hold_out(candidates([0] * len(groups), groups), count)
    assert len({groups[i] for i in learn} & {groups[i] for i in out}) <= 1
