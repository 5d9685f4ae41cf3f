"""Shapes that are worked out against shapes that onnxruntime and onnx find."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.runtime.profile.nodes import read_nodes
from handfirst.runtime.profile.shapes import propagate

F = np.float32


def whole(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


def real(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, F)


CASES: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "Conv": ("Conv", (real(2, 6, 9, 8), real(4, 3, 3, 2)), {"group": 2, "pads": [1, 0, 2, 1], "strides": [2, 1]}),
    "Conv dilated": ("Conv", (real(1, 2, 12), real(5, 2, 3)), {"dilations": [3]}),
    "ConvTranspose": (
        "ConvTranspose",
        (real(2, 4, 5, 5), real(4, 3, 4, 4)),
        {"group": 2, "strides": [2, 3], "pads": [1, 1, 1, 1], "output_padding": [0, 1]},
    ),
    "AveragePool": ("AveragePool", (real(1, 2, 8, 7),), {"kernel_shape": [2, 3], "strides": [2, 2]}),
    "MatMul": ("MatMul", (real(2, 1, 3, 4), real(5, 4, 6)), {}),
    "Gemm": ("Gemm", (real(4, 3), real(5, 4), real(5)), {"transA": 1, "transB": 1}),
    "Concat": ("Concat", (real(2, 3), real(2, 1), real(2, 4)), {"axis": -1}),
    "Split evenly": ("Split", (real(2, 7),), {"axis": 1, "num_outputs": 3}),
    "Split": ("Split", (real(2, 7), whole(1, 6)), {"axis": -1}),
    "Gather": ("Gather", (real(4, 5, 6), np.zeros((2, 3), np.int64)), {"axis": 1}),
    "Squeeze": ("Squeeze", (real(1, 3, 1), whole(-1)), {}),
    "Squeeze all": ("Squeeze", (real(1, 3, 1),), {}),
    "Unsqueeze": ("Unsqueeze", (real(3, 4), whole(0, -1)), {}),
    "Transpose": ("Transpose", (real(2, 3, 4),), {"perm": [2, 0, 1]}),
    "Transpose all": ("Transpose", (real(2, 3, 4),), {}),
    "Expand": ("Expand", (real(3, 1), whole(2, 1, 5)), {}),
    "Reshape": ("Reshape", (real(2, 3, 4), whole(0, -1)), {}),
    "Flatten": ("Flatten", (real(2, 3, 4),), {"axis": 2}),
    "Tile": ("Tile", (real(2, 3), whole(2, 3)), {}),
    "Pad": ("Pad", (real(2, 3), whole(1, 0, 2, 4)), {}),
    "ReduceMean": ("ReduceMean", (real(2, 3, 4), whole(-1, 0)), {"keepdims": 0}),
    "ReduceMean all": ("ReduceMean", (real(2, 3, 4),), {}),
    "DepthToSpace": ("DepthToSpace", (real(1, 8, 2, 3),), {"blocksize": 2}),
    "SpaceToDepth": ("SpaceToDepth", (real(1, 2, 4, 6),), {"blocksize": 2}),
    "Resize by scales": ("Resize", (real(1, 2, 5, 3), np.empty(0, F), np.array([1, 1, 2, 1.5], F)), {}),
    "Resize to sizes": ("Resize", (real(1, 2, 5, 3), None, None, whole(1, 2, 7, 9)), {}),
    "Range": ("Range", (whole(2).squeeze(), whole(11).squeeze(), whole(3).squeeze()), {}),
    "ConstantOfShape": ("ConstantOfShape", (whole(2, 3),), {}),
    "Where": ("Where", (np.ones((2, 1), np.bool_), real(3), real(1, 1)), {}),
    "Shape": ("Shape", (real(2, 3, 4),), {"start": 1}),
    "LayerNormalization": ("LayerNormalization", (real(2, 3), real(3), real(3)), {}),
    "Pow": ("Pow", (real(2, 1), real(3)), {}),
}


def check(op: str, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> None:
    """Floats go in from outside, whole numbers are constants: as in exported graphs."""
    names = [f"i{i}" if value is not None else "" for i, value in enumerate(inputs)]
    fed = {n: v for n, v in zip(names, inputs, strict=True) if v is not None and v.dtype == F and v.ndim and v.size}
    constants = [
        numpy_helper.from_array(v, n) for n, v in zip(names, inputs, strict=True) if n and n not in fed
    ]  # fmt: skip
    if op == "Resize" and len(inputs) == 3:  # its scales, floats too, are a constant
        constants.append(numpy_helper.from_array(fed.pop("i2"), "i2"))
    count = attributes.get("num_outputs", 2 if op == "Split" else 1)
    outputs = [f"o{i}" for i in range(count)]
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, v.shape) for n, v in fed.items()]
    graph = helper.make_graph(
        [helper.make_node(op, names, outputs, **attributes)],
        "g",
        values,
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    expected = onnxruntime.InferenceSession(model, options).run(None, fed)
    ((_, _, made),) = propagate(read_nodes(model, "g"), {name: value.shape for name, value in fed.items()})
    assert [size.shape for size in made][:count] == [value.shape for value in expected]
    for size, value in zip(made, expected, strict=False):
        if size.values is not None:
            np.testing.assert_array_equal(size.values, value)


@pytest.mark.parametrize("case", CASES)
def test_one_operator(case: str) -> None:
    check(*CASES[case])


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 20), kernel=st.integers(1, 4), stride=st.integers(1, 3),
    pads=st.tuples(st.integers(0, 2), st.integers(0, 2)), dilation=st.integers(1, 2),
)  # fmt: skip
def test_convolutions_of_any_geometry(size: int, kernel: int, stride: int, pads: Any, dilation: int) -> None:
    assume(size + sum(pads) >= dilation * (kernel - 1) + 1)
    attributes = {"strides": [stride], "pads": list(pads), "dilations": [dilation]}
    check("Conv", (real(1, 2, size), real(3, 2, kernel)), attributes)


NUMBERS = st.integers(-9, 9) | st.sampled_from([2**63 - 1, -(2**63) + 1])


@settings(max_examples=60, deadline=None)
@given(start=NUMBERS, end=NUMBERS, step=st.sampled_from([1, 2, 3, -1, -2]), size=st.integers(1, 7))
def test_slices_of_any_kind(start: int, end: int, step: int, size: int) -> None:
    assume(step > 0 or end < 10)  # onnxruntime reads the largest number in a way of its own here, against the standard
    check("Slice", (real(2, size), whole(start), whole(end), whole(1), whole(step)), {})


@pytest.mark.parametrize(
    ("role", "shapes"),
    [
        ("text_encoder", {"ids": (1, 48)}),
        ("hand_unet", {"sample": (2, 52, 16, 16), "timestep": (2,), "context": (2, 48, 96)}),
        ("mask_head", {"feature": (2, 96, 16, 16)}),
        ("hint_encoder", {"hint": (1, 4, 192, 192)}),
        ("vae_encoder", {"image": (1, 3, 64, 96)}),
        ("vae_decoder", {"latent": (2, 8, 8, 12)}),
    ],
)
def test_every_tensor_of_the_embedded_model_has_the_shape_that_it_has_when_run(role: str, shapes: Any) -> None:
    bundle = Bundle.open(demo_bundle_path())
    entry = bundle.manifest.engines[role]
    data = bundle.bytes(entry.file)
    worked_out = {
        name: size.shape
        for operator, _, made in propagate(read_nodes(data, role), shapes)
        for name, size in zip(operator.outputs, made, strict=False)
        if name
    }
    model = onnx.load_from_string(data)
    there = {value.name for value in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in worked_out if n not in there)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in session.get_outputs()]
    zeros = {tensor.name: np.zeros(shapes[tensor.name], tensor.dtype) for tensor in entry.spec.inputs}
    found = {name: value.shape for name, value in zip(names, session.run(names, zeros), strict=True)}
    assert found == worked_out
    assert len(found) >= len(model.graph.node)
