"""y = x + x, z = y * x: a graph whose answers anybody can tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.fake_onnxruntime import FakeOnnxRuntime

from handfirst.engines import ort
from handfirst.engines.engine import Array
from handfirst.engines.graph import Graph
from handfirst.engines.ort import OrtEngine
from handfirst.engines.ort_cuda import CudaOptions
from handfirst.engines.spec import EngineSpec, TensorSpec

X, Y, Z = (TensorSpec(name=name, dtype="float32", shape=("batch", 2)) for name in "xyz")
SPEC = EngineSpec(inputs=(X,), outputs=(Y, Z))


def graph(role: str = "small") -> Graph:
    """y = x + x, z = y * x."""
    ends = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 2]) for n in "xyz"}
    nodes = [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Mul", ["y", "x"], ["z"])]
    body = helper.make_graph(nodes, "g", [ends["x"]], [ends["y"], ends["z"]])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Graph(role, SPEC, model.SerializeToString())


def numbers(rows: int = 3, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((rows, 2)).astype(np.float32)


def cuda(library: FakeOnnxRuntime, monkeypatch: pytest.MonkeyPatch, **options: Any) -> OrtEngine:
    monkeypatch.setattr(ort, "import_onnxruntime", lambda: library)
    return OrtEngine(graph(), "cuda", cuda=CudaOptions(**options))
