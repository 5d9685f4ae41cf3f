"""Row by row: the same answers, one row in the engine at a time, and only where rows can be told apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_engine import FakeEngine

from handfirst.engines import opening, ort
from handfirst.engines.engine import Array
from handfirst.engines.errors import EngineError
from handfirst.engines.graph import Graph
from handfirst.engines.opening import RowByRow, splits
from handfirst.engines.ort_cuda import CudaOptions
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.engines.tensorrt import engine as trt


def tensor(name: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=shape)


SPEC = EngineSpec(inputs=(tensor("x", "batch", 3), tensor("t", "batch")), outputs=(tensor("y", "batch", 3),))


def scaled(inputs: dict[str, Array]) -> dict[str, Array]:
    return {"y": inputs["x"] * inputs["t"][:, None] + 1}


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(0, 1000))
def test_the_answers_are_those_of_the_batch(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = {"x": rng.standard_normal((count, 3)).astype(np.float32), "t": rng.random(count).astype(np.float32)}
    seen: list[int] = []

    def row(given: dict[str, Array]) -> dict[str, Array]:
        seen.append(len(given["x"]))
        return scaled(given)

    np.testing.assert_array_equal(RowByRow(FakeEngine(SPEC, "f", row)).run(inputs)["y"], scaled(inputs)["y"])
    assert seen == [1] * count


def test_inputs_are_checked_as_a_whole() -> None:
    engine = RowByRow(FakeEngine(SPEC, "f", scaled))
    with pytest.raises(EngineError, match=r"'t' expected float32 \[batch=2\], got float32 \[3\]"):
        engine.run({"x": np.zeros((2, 3), np.float32), "t": np.zeros(3, np.float32)})
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run({"x": np.zeros((2, 3), np.float32), "t": np.zeros(2, np.float32)})


@pytest.mark.parametrize(
    ("other", "expected"), [(("batch", 4), True), (("rows", 4), False), ((1, 4), False), ((), False)]
)
def test_rows_are_told_apart_by_one_free_axis(other: tuple[int | str, ...], expected: bool) -> None:
    assert splits(EngineSpec(inputs=SPEC.inputs, outputs=(tensor("y", *other),))) is expected


@pytest.mark.parametrize(
    ("engine", "size", "alone"),
    [("cpu", 99, False), ("cpu", 101, True), ("openvino-bf16", 101, True), ("cuda", 101, False)],
)
def test_heavy_graphs_on_a_cpu(engine: str, size: int, alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "HEAVY", 100)
    monkeypatch.setattr(opening, "_open", lambda *_: FakeEngine(SPEC, "f", scaled))
    assert isinstance(opening.open_engine(Graph("f", SPEC, bytes(size)), engine), RowByRow) is alone


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("cuda", ("cuda", CudaOptions())),
        ("cuda:1", ("cuda", CudaOptions(device=1))),
        ("cuda:2:nhwc", ("cuda", CudaOptions(device=2, prefer_nhwc=True))),
        ("cpu", ("cpu", CudaOptions())),
        ("tensorrt", 0),
        ("tensorrt:3", 3),
    ],
)
def test_the_gpu_that_is_named_is_the_one_that_is_opened(
    engine: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    monkeypatch.setattr(ort, "OrtEngine", lambda graph, library, threads, options: made.append((library, options)))
    monkeypatch.setattr(trt, "TrtEngine", lambda graph, cache, gpu: made.append(gpu))
    opening._open(Graph("f", SPEC, b""), engine, 1)
    assert made == [expected]
