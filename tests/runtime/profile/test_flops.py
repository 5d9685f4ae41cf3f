"""Counts of one size from those of others, worked out by hand, and the embedded model's beside what its graphs run."""

from __future__ import annotations

import json
from math import prod
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.errors import BundleError
from handfirst.engines.manifest import FlopCount, read_manifest
from handfirst.runtime.profile.flops import NO_COUNTS, OTHER_SIZE, FlopCounts, operations

whole = st.integers(0, 10**12)
side = st.integers(1, 200)


def at(count: int, **axes: int) -> FlopCount:
    return FlopCount(axes=axes, count=count)


@settings(max_examples=30)
@given(whole, whole, whole, st.lists(side, min_size=3, max_size=3, unique=True), side, side, st.integers(1, 16))
def test_three_areas_tell_every_other(
    a: int, b: int, c: int, counted: list[int], rows: int, cols: int, batch: int
) -> None:
    """a + b n + c n^2 for every picture of n cells: what embeddings, convolutions and attention add up to."""
    counts = [at(a + b * n + c * n * n, batch=1, rows=n, cols=1) for n in counted]
    n = rows * cols
    expected = batch * (a + b * n + c * n * n)
    assert operations(counts, "batch", {"batch": batch, "rows": rows, "cols": cols, "rows_2": 7}) == expected


def test_where_nothing_but_the_batch_is_free_one_count_is_enough() -> None:
    assert operations([at(21, batch=3)], "batch", {"batch": 5}) == 35
    assert operations([at(21)], 1, {}) == 21


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ([], {"batch": 1}),
        ([at(8, batch=1, rows=2)], {"batch": 1, "rows": 3}),
        ([at(8, batch=1, rows=2), at(9, batch=1, rows=4)], {"batch": 1, "rows": 3}),
        ([at(8, batch=1, rows=2)], {"batch": 1}),
        ([at(7, batch=2)], {"batch": 1}),  # three and a half
        ([at(9, rows=1), at(1, rows=2), at(0, rows=3)], {"rows": 100, "batch": -1}),
    ],
)
def test_what_is_not_told_is_none(counts: list[FlopCount], sizes: dict[str, int]) -> None:
    assert operations(counts, "batch", sizes) is None


def test_a_size_that_was_counted_needs_no_others() -> None:
    assert operations([at(8, batch=1, rows=2)], "batch", {"batch": 3, "rows": 2}) == 24


def as_run(model: onnx.ModelProto, inputs: dict[str, np.ndarray[Any, Any]]) -> int:
    """Two for every multiply-add, by the shapes that onnxruntime's tensors have in a run."""
    nodes = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose", "MatMul", "Gemm")]
    wanted = {name for node in nodes for name in (*node.input[:2], *node.output)} - inputs.keys()
    weights = {weight.name for weight in model.graph.initializer}
    there = {value.name for value in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in wanted - weights - there)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in session.get_outputs()]
    shapes = {name: value.shape for name, value in zip(names, session.run(names, inputs), strict=True)}
    shapes |= {name: value.shape for name, value in inputs.items()}
    shapes |= {weight.name: tuple(weight.dims) for weight in model.graph.initializer}
    total = 0
    for node in nodes:
        given, weight, made = (shapes[name] for name in (*node.input[:2], node.output[0]))
        if node.op_type in ("Conv", "ConvTranspose"):
            seen = made if node.op_type == "Conv" else given
            total += 2 * seen[0] * prod(seen[2:]) * prod(weight)
        else:
            assert not any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
            total += 2 * prod(made) * given[-1]
    return total


@pytest.mark.parametrize(
    ("role", "free"),
    [
        ("text_encoder", {"batch": 3}),
        ("hand_unet", {"batch": 2}),
        ("mask_head", {"batch": 2}),
        ("hint_encoder", {"batch": 1, "height": 96, "width": 192}),
        ("controlnet", {"batch": 2}),
        ("body_unet", {"batch": 2}),
        ("vae_encoder", {"batch": 2, "height": 64, "width": 96}),
        ("vae_decoder", {"batch": 1, "rows": 24, "cols": 20}),
    ],
)
def test_the_embedded_models_counts_are_those_of_its_graphs(role: str, free: dict[str, int]) -> None:
    bundle = Bundle.open(demo_bundle_path())
    entry = bundle.manifest.engines[role]
    inputs = {
        tensor.name: np.zeros([free[axis] if isinstance(axis, str) else axis for axis in tensor.shape], tensor.dtype)
        for tensor in entry.spec.inputs
    }
    counts = FlopCounts(bundle.manifest.engines)
    expected = as_run(onnx.load_from_string(bundle.bytes(entry.file)), inputs)
    assert counts.count(role, [value.shape for value in inputs.values()]) == expected > 0
    assert counts.unknown == {}


def manifest() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((demo_bundle_path() / "manifest.json").read_text("utf-8"))
    return found


def test_a_bundle_of_before_has_no_counts_and_the_reason_is_said() -> None:
    fields = manifest()
    del fields["engines"]["mask_head"]["flops"]
    fields["engines"]["vae_decoder"]["flops"].pop()
    counts = FlopCounts(read_manifest(json.dumps(fields).encode(), "here").engines)
    assert counts.count("mask_head", ((1, 96, 16, 16),)) is None
    assert counts.count("vae_decoder", ((1, 8, 20, 20),)) is None
    assert counts.unknown == {"mask_head": NO_COUNTS, "vae_decoder": OTHER_SIZE}


@pytest.mark.parametrize(
    "wrong", [{"axes": {"batch": 0}, "count": 1}, {"axes": {}, "count": -1}, {"axes": {"a b": 1}, "count": 1}, {}]
)
def test_counts_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    fields = manifest()
    fields["engines"]["mask_head"]["flops"] = [wrong]
    with pytest.raises(BundleError, match=r"mask_head\.flops"):
        read_manifest(json.dumps(fields).encode(), "here")
