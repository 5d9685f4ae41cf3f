"""Intervals against what theory says, and the pictures that take part."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.training.evaluate.measure import FEWEST, figure, ratio


def test_the_interval_of_a_mean_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(0).exponential(2.0, 400)
    out = figure(ratio(values, np.ones(400, np.int64)), np.ones(400, np.int64), np.arange(400), 4000, 1)
    assert out is not None and out.low is not None and out.high is not None
    half = 1.959964 * values.std() / math.sqrt(400)
    assert out.value == pytest.approx(values.mean())
    assert out.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert out.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_pictures_are_drawn_not_points() -> None:
    """Copies of a point inside its picture must not make the interval narrower."""
    values = np.random.default_rng(0).normal(size=50)
    one, many = np.ones(50, np.int64), np.full(50, 21)
    single = figure(ratio(values, one), one, np.arange(50), 500, 3)
    copied = figure(ratio(21 * values, many), many, np.arange(50), 500, 3)
    assert single is not None and copied is not None
    assert (copied.low, copied.high) == (pytest.approx(single.low), pytest.approx(single.high))
    assert (single.n, copied.n) == (50, 50 * 21)


def test_equal_seeds_give_equal_intervals() -> None:
    values, one = np.arange(20.0), np.ones(20, np.int64)
    runs = [figure(ratio(values, one), one, np.arange(20), 200, seed) for seed in (4, 4, 5)]
    assert runs[0] == runs[1] != runs[2]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=FEWEST, max_size=20))
def test_the_interval_lies_within_the_values(values: list[float]) -> None:
    one = np.ones(len(values), np.int64)
    out = figure(ratio(np.array(values), one), one, np.arange(len(values)), 50, 0)
    assert out is not None and out.low is not None and out.high is not None
    assert min(values) - 1e-9 <= out.low <= out.high <= max(values) + 1e-9


def test_few_pictures_have_no_interval_and_none_no_figure() -> None:
    one = np.ones(10, np.int64)
    few = figure(ratio(np.arange(10.0), one), one, np.arange(FEWEST - 1), 100, 0)
    assert few is not None and (few.value, few.low, few.high) == (1.5, None, None)
    empty = np.zeros(10, np.int64)
    assert figure(ratio(np.zeros(10), empty), empty, np.arange(10), 100, 0) is None
