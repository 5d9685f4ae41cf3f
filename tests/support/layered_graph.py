"""A small graph with a convolution and a linear layer, and any other graph around a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from handfirst.engines import ov
from handfirst.engines.graph import Graph
from handfirst.engines.ort import OrtEngine
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.engines.verify import psnr

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
ELEMENTS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "int64": TensorProto.INT64}
WIDTH = 48


def tensor(name: str, dtype: str, *shape: int | str) -> TensorSpec:
    return TensorSpec.model_validate({"name": name, "dtype": dtype, "shape": shape})


def graph(
    nodes: list[onnx.NodeProto],
    spec: EngineSpec,
    weights: Mapping[str, Array],
    digest: str = "",
    external: str | None = None,
) -> Graph:
    """With `external`, the first weight lies in the file of that name."""
    ends = [
        [helper.make_tensor_value_info(t.name, ELEMENTS[t.dtype], list(t.shape)) for t in tensors]
        for tensors in (spec.inputs, spec.outputs)
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    data = {}
    if external is not None:
        first = initializers[0]
        data[external] = bytes(first.raw_data)
        first.ClearField("raw_data")
        first.data_location = TensorProto.EXTERNAL
        for key, value in {"location": external, "offset": "0", "length": str(len(data[external]))}.items():
            first.external_data.add(key=key, value=value)
    body = helper.make_graph(nodes, "g", ends[0], ends[1], initializers)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Graph("tiny", spec, model.SerializeToString(), data, digest=digest, source="tiny.onnx")


def layers(digest: str = "", external: str | None = None, channels: int | str = WIDTH) -> Graph:
    """y = a linear layer of gelu(convolution) in float32, whose weights are stored as float16; t is added."""
    kernel = RNG.standard_normal((WIDTH, WIDTH, 3, 3)).astype(np.float16) / 20
    linear = RNG.standard_normal((WIDTH, WIDTH)).astype(np.float16) / 7
    nodes = [
        helper.make_node("Cast", ["k16"], ["k"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["w16"], ["w"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Gelu", ["c"], ["g"]),
        helper.make_node("Transpose", ["g"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["last", "w"], ["m"]),
        helper.make_node("Cast", ["t"], ["time"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["time", "column"], ["row"]),
        helper.make_node("Add", ["m", "row"], ["y"]),
        helper.make_node("Add", ["t", "one"], ["later"]),
    ]
    weights = {"k16": kernel, "w16": linear, "column": np.array([-1, 1, 1, 1]), "one": np.array(1)}
    spec = EngineSpec(
        inputs=(tensor("x", "float32", "b", channels, "h", "w"), tensor("t", "int64", "b")),
        outputs=(tensor("y", "float32", "b", "h", "w", WIDTH), tensor("later", "int64", "b")),
    )
    return graph(nodes, spec, weights, digest, external)


def feed(batch: int = 2, side: int = 8) -> dict[str, Array]:
    x = RNG.standard_normal((batch, WIDTH, side, side)).astype(np.float32)
    return {"x": x, "t": np.arange(batch, dtype=np.int64)}


def has_bfloat16() -> bool:
    return "BF16" in ov._capabilities()


def closeness(made: Graph, inputs: dict[str, Array], precision: str = "float32") -> float:
    """Worst PSNR in dB against onnxruntime; dtypes and shapes must agree."""
    expected = OrtEngine(made).run(inputs)
    answer = ov.OvEngine(made, precision).run(inputs)
    assert {k: (v.dtype, v.shape) for k, v in answer.items()} == {k: (v.dtype, v.shape) for k, v in expected.items()}
    return min(psnr(value, answer[name]) for name, value in expected.items())
