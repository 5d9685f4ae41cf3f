"""Numbers, names and keys of any annotation: what passes, and that nothing else than a reason comes of the rest."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from handfirst.training.data.sources.entry import UnusableError, inside, key_of, numbers
from handfirst.training.data.sources.hagrid import sides_of
from handfirst.training.data.sources.joints import flags

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)


@given(arrays(np.float64, array_shapes(max_dims=3, max_side=5), elements=st.floats(-1e6, 1e6)))
def test_good_numbers_come_back(array: np.ndarray) -> None:
    np.testing.assert_array_equal(numbers(array.tolist(), array.shape, "x"), array)
    np.testing.assert_array_equal(numbers(array.tolist(), (-1, *array.shape[1:]), "x"), array)
    with pytest.raises(UnusableError, match=r"^x: wrong count$"):
        numbers(array.tolist(), (array.shape[0] + 1, *array.shape[1:]), "x")


@given(JSON)
@example([[1, 2], [3]])
@example([10**400, 0])
@example([True, False])
@example(["1", "2"])
@example([1, "2"])
def test_anything_else_is_a_reason(value: Any) -> None:
    for read in (lambda v: numbers(v, (2,), "x"), lambda v: numbers(v, (-1, 2), "x"), flags):
        try:
            out = read(value)
        except UnusableError as error:
            assert re.fullmatch(r"(x|joint_valid): (wrong count|not numbers|not finite)", str(error))
        else:
            assert np.isfinite(out).all() and out.shape[-1] in (2, 42)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.5e6])
def test_numbers_that_are_none(value: float) -> None:
    with pytest.raises(UnusableError, match="x: not finite"):
        numbers([1.0, value], (2,), "x")


@given(st.lists(st.text(), min_size=1, max_size=3))
@example(["\ud800"])
def test_keys_fit_for_shards(parts: list[str]) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", key_of(*parts))


@given(st.text(), st.text())
def test_different_names_have_different_keys(a: str, b: str) -> None:
    assert (key_of(a) == key_of(b)) == (a == b)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../a", "a/../../b", "", None, 5, "a\0b", "a" * 300, "a/" * 900, "\ud800"]
)
def test_names_do_not_leave_their_folder(name: Any, tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="file name"):
        inside(tmp_path, name)
    assert inside(tmp_path, "a/b.jpg") == tmp_path / "a" / "b.jpg"


@given(
    st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 4), min_size=1, max_size=2),
    st.lists(st.sampled_from(["palm", "fist", "no_gesture", "peace_inverted"]), min_size=2, max_size=2),
    st.sampled_from(["left", "right", None]),
    arrays(np.float64, (21, 2), elements=st.floats(-1e6, 1e6)),
)
def test_every_box_gets_a_side_and_no_side_twice(
    where: list[tuple[float, ...]], labels: list[str], leading: Any, points: np.ndarray
) -> None:
    sides, rule = sides_of(np.array(where), labels[: len(where)], leading, points if len(where) == 1 else None)
    assert len(sides) == len(set(sides)) == len(where)
    assert rule in ("leading_hand", "order", "facing", "position")
