"""Weights of a graph: where external ones lie, and which graphs differ in nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.weighted_graph import SPEC, externalise, weighted

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.errors import BundleError
from handfirst.engines.graph import Graph
from handfirst.engines.nvidia.weights import External, read_weights


def graph(model: onnx.ModelProto, **data: bytes) -> Graph:
    return Graph("net", SPEC, model.SerializeToString(), {f"{k}.bin": v for k, v in data.items()})


def structure(model: onnx.ModelProto, **data: bytes) -> str:
    return read_weights(graph(model, **data)).structure


def test_external_tensors_are_found() -> None:
    model, data = externalise(weighted(), "w.bin")
    found = read_weights(graph(model, w=data)).external
    assert set(found) == {"k", "b", "sizes"}
    kernel = found["k"]
    assert data[kernel.offset : kernel.offset + kernel.size] == weighted().graph.initializer[0].raw_data
    assert found["b"] == External("w.bin", kernel.offset + kernel.size, 4)


def test_graphs_that_differ_in_weights_only_have_one_structure() -> None:
    assert structure(weighted(seed=1)) == structure(weighted(seed=2))
    one, two = externalise(weighted(seed=1), "w.bin"), externalise(weighted(seed=2), "w.bin")
    assert structure(one[0], w=one[1]) == structure(two[0], w=two[1])


def replace_constant(index: int, value: np.ndarray) -> Callable[[onnx.ModelProto], object]:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[index]
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))

    return change


CHANGES: dict[str, Callable[[onnx.ModelProto], object]] = {
    "a constant of a shape": replace_constant(2, np.array([1, 1, 36])),
    "another type": replace_constant(1, np.ones(1, np.float16)),
    "another shape": replace_constant(1, np.ones((1, 1), np.float32)),
    "an attribute": lambda m: m.graph.node[0].attribute[0].ints.__setitem__(0, 2),
    "an operator": lambda m: setattr(m.graph.node[1], "op_type", "Sub"),
    "another opset": lambda m: setattr(m.opset_import[0], "version", 20),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_other_difference_is_a_structure_of_its_own(change: str) -> None:
    model = weighted()
    CHANGES[change](model)
    assert structure(model) != structure(weighted())


def test_what_shapes_the_plan_is_no_weight() -> None:
    """Float constants of Clip, say, are compiled in, wherever they lie."""

    def clipped(low: float) -> onnx.ModelProto:
        model = weighted()
        model.graph.initializer.append(numpy_helper.from_array(np.array(low, np.float32), "low"))
        model.graph.node[1].output[0] = "unclipped"
        model.graph.node.insert(2, helper.make_node("Clip", ["unclipped", "low"], ["sum"]))
        return model

    assert structure(clipped(0.0)) != structure(clipped(1.0))
    one, two = externalise(clipped(0.0), "w.bin"), externalise(clipped(1.0), "w.bin")
    assert one[0] == two[0] and structure(one[0], w=one[1]) != structure(two[0], w=two[1])


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
        read_weights(graph(model, w=externalise(weighted(), "w.bin")[1]))
    assert str(caught.value).startswith("net: ") and "\n" not in str(caught.value)


def test_the_demo_has_eight_structures() -> None:
    bundle = Bundle.open(demo_bundle_path())
    found = {role: read_weights(bundle.graph(role)) for role in bundle.manifest.engines}
    assert len({weights.structure for weights in found.values()}) == len(found)
    for role, weights in found.items():
        assert set(weights.external) == {
            t.name for t in onnx.load_model_from_string(bundle.graph(role).model).graph.initializer if t.data_location
        }
