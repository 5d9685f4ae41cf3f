"""The seam: inputs are checked before any library sees them; files are whole or absent; PSNR by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_engine import FakeEngine

from handfirst.engines.engine import check_inputs, check_outputs
from handfirst.engines.errors import EngineError
from handfirst.engines.files import atomic_path, atomic_write_bytes
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.engines.verify import psnr

SPEC = EngineSpec(
    inputs=(
        TensorSpec(name="sample", dtype="float32", shape=("batch", 4, 8, 8)),
        TensorSpec(name="timestep", dtype="int64", shape=("batch",)),
    ),
    outputs=(TensorSpec(name="out", dtype="float32", shape=("batch",)),),
)


def good(batch: int = 2) -> dict[str, np.ndarray]:
    return {"sample": np.zeros((batch, 4, 8, 8), np.float32), "timestep": np.zeros(batch, np.int64)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample": np.zeros((2, 15, 8, 8), np.float32)}, r"input 'sample' expected float32 \[batch=2, 4, 8, 8\], got"),
        ({"sample": np.zeros((2, 4, 8, 8))}, r"got float64 \[2, 4, 8, 8\]"),
        ({"sample": np.zeros((4, 8, 8), np.float32)}, r"got float32 \[4, 8, 8\]"),
        ({"timestep": np.zeros(3, np.int64)}, r"'timestep' expected int64 \[batch=2\], got int64 \[3\]"),
        ({"extra": np.zeros(1)}, "unknown input extra"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        check_inputs(SPEC, {**good(), **change}, "hand_unet")
    assert str(caught.value).startswith("hand_unet: ") and "\n" not in str(caught.value)


def test_a_missing_input_is_named() -> None:
    with pytest.raises(EngineError, match="missing input timestep"):
        check_inputs(SPEC, {"sample": good()["sample"]}, "x")


@given(st.integers(1, 9))
def test_any_batch_fits(batch: int) -> None:
    check_inputs(SPEC, good(batch), "x")


def test_the_fake_engine_counts_checks_and_closes() -> None:
    engine = FakeEngine(SPEC, "fake", lambda i: {"out": i["sample"].sum((1, 2, 3))})
    assert engine.run(good())["out"].shape == (2,) and engine.calls == 1
    wrong = FakeEngine(SPEC, "fake", lambda i: {"other": i["sample"]})
    with pytest.raises(EngineError, match="out"):
        wrong.run(good())
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run(good())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    atomic_write_bytes(target, b"old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]
    atomic_write_bytes(target, b"new")
    assert target.read_bytes() == b"new" and list(tmp_path.iterdir()) == [target]


def test_psnr_by_hand() -> None:
    a = np.array([0.0, 1.0, 2.0, 4.0])
    assert psnr(a, a) == math.inf
    assert psnr(a, a + 0.04) == pytest.approx(20 * math.log10(4 / 0.04))
    assert psnr(a, np.array([0, 1, 2, np.nan])) == -math.inf
    with pytest.raises(ValueError, match="shape"):
        psnr(a, a[:2])


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((3, 5), "float32"), ((2, 4), "float32"), ((2, 5, 1), "float32"), ((2, 5), "float64"), ((0, 5), "float32")],
)
def test_an_output_that_is_not_what_the_manifest_says(shape: tuple[int, ...], dtype: str) -> None:
    spec = EngineSpec.model_validate(
        {
            "inputs": [{"name": "x", "dtype": "float32", "shape": ["n"]}],
            "outputs": [{"name": "y", "dtype": "float32", "shape": ["n", 5]}],
        }
    )
    inputs = {"x": np.zeros(2, np.float32)}
    check_outputs(spec, inputs, {"y": np.zeros((2, 5), np.float32)}, "e")
    with pytest.raises(EngineError, match=r"output 'y' expected float32 \[2, 5\] as in the manifest, got"):
        check_outputs(spec, inputs, {"y": np.zeros(shape, dtype)}, "e")
