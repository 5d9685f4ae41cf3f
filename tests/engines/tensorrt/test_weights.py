"""Weights of a graph that lie outside its own file: where, and what is refused."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper
from support.weighted_graph import SPEC, externalise, weighted

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.errors import BundleError
from handfirst.engines.graph import Graph
from handfirst.engines.tensorrt.build import External, external_weights


def graph(model: onnx.ModelProto, **data: bytes) -> Graph:
    return Graph("net", SPEC, model.SerializeToString(), {f"{k}.bin": v for k, v in data.items()})


def test_external_tensors_are_found() -> None:
    model, data = externalise(weighted(), "w.bin")
    found = external_weights(graph(model, w=data))
    assert set(found) == {"k", "b", "sizes"}
    kernel = found["k"]
    assert data[kernel.offset : kernel.offset + kernel.size] == weighted().graph.initializer[0].raw_data
    assert found["b"] == External("w.bin", kernel.offset + kernel.size, 4)


def move(name: str, key: str, value: str) -> onnx.ModelProto:
    model, _ = externalise(weighted(), "w.bin")
    tensor = next(t for t in model.graph.initializer if t.name == name)
    next(e for e in tensor.external_data if e.key == key).value = value
    return model


def hidden() -> onnx.ModelProto:
    """A tensor in another file that is an operator's attribute."""
    model = weighted()
    tensor = TensorProto(name="c", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=tensor))
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (move("k", "location", "../w.bin"), "'../w.bin'"),
        (move("k", "location", "/etc/passwd"), "'/etc/passwd'"),
        (move("k", "offset", "-4"), "are not there"),
        (move("k", "offset", "x"), "are not there"),
        (move("k", "length", "100000"), "are not there"),
        (hidden(), "only weights may lie in other files"),
        (onnx.ModelProto(ir_version=10), "file without one"),
    ],
)
def test_tensors_that_are_not_there_are_refused(model: onnx.ModelProto, message: str) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        external_weights(graph(model, w=externalise(weighted(), "w.bin")[1]))
    assert str(caught.value).startswith("net: ") and "\n" not in str(caught.value)


def test_all_external_weights_of_the_demo_are_found() -> None:
    bundle = Bundle.open(demo_bundle_path())
    for role in bundle.manifest.engines:
        graph = bundle.graph(role)
        assert set(external_weights(graph)) == {
            t.name for t in onnx.load_model_from_string(graph.model).graph.initializer if t.data_location
        }
