"""Limits of free axes: what they say, who checks them, and manifests in which they make no sense."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from handfirst.engines.engine import check_inputs
from handfirst.engines.errors import EngineError
from handfirst.engines.spec import AxisLimits, EngineSpec, TensorSpec


def tensor(name: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=shape)


X = tensor("x", "batch", 4, "rows")
SPEC = EngineSpec(
    inputs=(X,),
    outputs=(tensor("y", "batch"),),
    limits={"batch": AxisLimits(usual=2, most=6), "rows": AxisLimits(least=8, usual=16, most=32, multiple=8)},
)


@given(st.integers(0, 10), st.integers(0, 40))
def test_sizes_within_the_limits_pass_and_no_others(batch: int, rows: int) -> None:
    given = {"x": np.zeros((batch, 4, rows), np.float32)}
    if 1 <= batch <= 6 and rows in (8, 16, 24, 32):
        check_inputs(SPEC, given, "net")
        return
    limits = r"expected (batch 1 to 6|rows 8 to 32 in steps of 8), got \d+; export"
    empty = r"input 'x' expected float32 \[.*\], got float32 \[\d+, 4, \d+\]"  # an axis of nothing fits no spec
    with pytest.raises(EngineError, match=rf"^net: {limits if batch and rows else empty}"):
        check_inputs(SPEC, given, "net")


@pytest.mark.parametrize(
    ("first", "limits", "most"),
    [
        ("batch", {"batch": AxisLimits(usual=1, most=5)}, 5),
        ("batch", {"rows": AxisLimits(usual=1, most=5)}, None),
        ("batch", {}, None),
        (1, {}, 1),
    ],
)
def test_rows_at_once(first: int | str, limits: dict[str, AxisLimits], most: int | None) -> None:
    spec = EngineSpec(inputs=(tensor("x", first, "rows"),), outputs=(tensor("y", first),), limits=limits)
    assert spec.most_rows == most


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"usual": 4, "most": 3}, "least <= usual <= most, got 1, 4, 3"),
        ({"least": 3, "usual": 2, "most": 3}, "least <= usual <= most, got 3, 2, 3"),
        ({"least": 8, "usual": 12, "most": 16, "multiple": 8}, "multiples of 8, got 12"),
        ({"least": 0, "usual": 1, "most": 1}, "greater than or equal to 1"),
        ({"usual": 1, "most": 1 << 40}, "less than or equal to"),
        ({"usual": 1}, "Field required"),
        ({"usual": 1, "most": 2, "best": 1}, "Extra inputs"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, int], said: str) -> None:
    text = json.loads(SPEC.model_dump_json())
    text["limits"]["batch"] = limits
    with pytest.raises(ValidationError, match=said):
        EngineSpec.model_validate_json(json.dumps(text))


def test_limits_of_an_axis_that_is_not_there_are_refused() -> None:
    with pytest.raises(ValidationError, match="limits of 'cols', which is no free axis"):
        EngineSpec(inputs=(X,), outputs=(X,), limits={"cols": AxisLimits(usual=1, most=1)})


def test_a_spec_survives_its_file() -> None:
    assert EngineSpec.model_validate_json(SPEC.model_dump_json(), strict=True) == SPEC
