"""A small graph with every kind of constant: y = reshape(conv(x, k) + b, sizes)."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from handfirst.engines.spec import EngineSpec, TensorSpec

SPEC = EngineSpec(
    inputs=(
        TensorSpec(name="x", dtype="float32", shape=("batch", 1, 6, "width")),
        TensorSpec(name="scale", dtype="int64", shape=("batch",)),
    ),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 1, "all")),),
)
"""`scale` is added to every picture, so that a second input of another dtype matters."""


def weighted(seed: int = 0) -> onnx.ModelProto:
    """The same graph for every seed, but for k and b."""
    random = np.random.default_rng(seed)
    kernel, bias = random.standard_normal((1, 1, 3, 3), np.float32), random.standard_normal(1, np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["h", "b"], ["sum"]),
        helper.make_node("Reshape", ["sum", "sizes"], ["flat"]),
        helper.make_node("Cast", ["scale"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["number", "axes"], ["column"]),
        helper.make_node("Add", ["flat", "column"], ["y"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 6, "width"]),
        helper.make_tensor_value_info("scale", TensorProto.INT64, ["batch"]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1, "all"])]
    constants = {"k": kernel, "b": bias, "sizes": np.array([0, 1, -1]), "axes": np.array([1, 2])}
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "weighted", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def externalise(model: onnx.ModelProto, location: str) -> tuple[onnx.ModelProto, bytes]:
    """A copy whose constants, but for the last one, lie in a file of their own; and that file."""
    copy, data = onnx.ModelProto(), b""
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.name == "axes":
            continue
        raw = tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, "offset": len(data), "length": len(raw)}.items():
            tensor.external_data.add(key=key, value=str(value))
        data += raw
    return copy, data
