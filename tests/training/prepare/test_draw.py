"""The draw: proportions, nesting, independence of the source's order, what is held out."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.training.data.prepare.draw import (
    FAILED,
    PASSED,
    UNKNOWN,
    Candidates,
    draw,
    next_to_look_at,
    rank,
    shares,
)


def candidates(
    strata: list[int],
    groups: list[int],
    seed: int = 0,
    training: list[bool] | None = None,
    names: list[int] | None = None,
) -> Candidates:
    return Candidates(
        np.array([rank(seed, str(i)) for i in names or range(len(strata))], np.uint64),
        np.array([rank(seed, "group", str(g)) for g in groups], np.uint64),
        np.array(strata, np.int64),
        np.array(training or [True] * len(strata)),
    )


def unknown(some: Candidates) -> np.ndarray:
    return np.full(len(some), UNKNOWN, np.int8)


def train(some: Candidates, count: int | None) -> np.ndarray:
    """A draw without anything held out, before any was looked at."""
    return draw(some, unknown(some), count, 0).train


many = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=80)


@settings(max_examples=100, deadline=None)
@given(many, st.integers(1, 90))
def test_every_gesture_keeps_its_share(pairs: list[tuple[int, int]], count: int) -> None:
    """Within one picture of the exact proportion, and exactly `count` in all."""
    strata = [s for s, _ in pairs]
    drawn = train(candidates(strata, [0] * len(strata)), count)
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
    other = candidates([0] * len(pairs), [pairs[i][1] for i in names], names=names)
    assert [names[i] for i in train(other, count)] == train(whole, count).tolist()


def test_a_larger_draw_holds_the_smaller_one() -> None:
    whole = candidates([0] * 200, [0] * 200)
    assert set(train(whole, 50)) < set(train(whole, 120))


def test_another_seed_draws_others() -> None:
    drawn = [set(train(candidates([0] * 200, [0] * 200, seed), 100).tolist()) for seed in (0, 1)]
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
    whole = candidates([0] * 200, [0] * 200)
    drawn = draw(whole, unknown(whole), None, count)
    assert len(drawn.val) == held
    assert sorted([*drawn.train.tolist(), *drawn.val.tolist()]) == list(range(200))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=10, max_size=300), st.integers(0, 40))
def test_at_most_one_group_is_torn(groups: list[int], count: int) -> None:
    whole = candidates([0] * len(groups), groups)
    drawn = draw(whole, unknown(whole), None, count)
    assert len({groups[i] for i in drawn.train} & {groups[i] for i in drawn.val}) <= 1


def looked_at(some: Candidates, truth: np.ndarray, count: int | None, val: int) -> tuple[np.ndarray, int]:
    """The verdicts at the end, and how many rounds it took: every round is answered by the truth."""
    known, rounds = unknown(some), 0
    while len(asked := next_to_look_at(some, known, count, val)):
        assert (known[asked] == UNKNOWN).all()
        known[asked] = np.where(truth[asked], PASSED, FAILED)
        rounds += 1
    return known, rounds


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.booleans(), st.booleans()), min_size=1, max_size=60),
    st.one_of(st.none(), st.integers(1, 70)),
    st.integers(0, 8),
)
def test_what_is_drawn_is_usable_and_as_many_as_there_are(pictures: list, count: int | None, val: int) -> None:
    """N asked, N delivered while there are N: of each kind the first that pass, in rank order."""
    strata, groups, good, training = (list(column) for column in zip(*pictures, strict=True))
    some, truth = candidates(strata, groups, training=training), np.array(good)
    known, _ = looked_at(some, truth, count, val)
    drawn = draw(some, known, count, val)
    assert truth[drawn.train].all() and truth[drawn.val].all() and not set(drawn.train) & set(drawn.val)
    own_split = not all(training)
    usable = int((truth & some.training).sum())
    held = (
        min(val, int((known >= UNKNOWN).sum() * 0.1))
        if not own_split
        else min(val, int((truth & ~some.training).sum()))
    )
    assert len(drawn.val) == held
    left = usable if own_split else usable - held
    assert len(drawn.train) == (left if count is None else min(count, left))
    for kind in set(strata):
        mine = [
            i for i in np.argsort(some.ranks) if strata[i] == kind and truth[i] and training[i] and i not in drawn.val
        ]
        got = [i for i in drawn.train if strata[i] == kind]
        assert got == mine[: len(got)]


def test_a_kind_that_runs_dry_is_made_up_for_by_the_others() -> None:
    """Three kinds of 30, 40 asked for; of the first only two are of use: 40 = 2 + 19 + 19."""
    some = candidates([0] * 30 + [1] * 30 + [2] * 30, [0] * 90)
    truth = np.arange(90) >= 28
    known, _ = looked_at(some, truth, 40, 0)
    drawn = draw(some, known, 40, 0).train
    assert np.bincount(drawn // 30).tolist() == [2, 19, 19]


def test_few_rounds_and_few_in_vain() -> None:
    """10,000 of 20,000, of which 2 % are broken: about 10,204 have to be looked at; 2,500, of which a fifth is usable:
    about 12,500."""
    some, rng = candidates([0] * 20_000, [0] * 20_000), np.random.default_rng(0)
    for rate, count, needed in ((0.98, 10_000, 10_204), (0.2, 2_500, 12_500)):
        known, rounds = looked_at(some, rng.random(20_000) < rate, count, 0)
        assert rounds <= 4 and (known != UNKNOWN).sum() < 1.07 * needed
