"""The walker over ONNX files against the onnx library: field numbers and contents."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from support.onnx_tensors import as_ours, inner_graphs, key, tensors_of

from handfirst.engines.trust.onnx_file import OnnxGraph, read_onnx
from handfirst.engines.trust.onnx_tables import TABLES
from handfirst.engines.trust.tensor_rules import BITS, STORES

REAL = {"Note": "StringStringEntryProto"}
"""Tables of ours that read a message of onnx in another way."""

VALUES = st.sampled_from(["a", "b", "c"])
DIMS = st.lists(st.integers(0, 3), max_size=3)
EASY = [t for t in BITS if t not in (14, 15)]  # complex numbers are made by hand below
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def descriptor(table: str) -> Any:
    found = onnx
    for name in REAL.get(table, table).split("."):
        found = getattr(found, name)
    return found.DESCRIPTOR


@pytest.mark.parametrize("table", TABLES)
def test_the_tables_are_those_of_onnx(table: str) -> None:
    fields = descriptor(table).fields_by_number
    assert set(fields) <= set(TABLES[table]), "onnx has fields that the table lacks"
    for number, real in fields.items():
        ours = TABLES[table][number]
        many = real.is_repeated if hasattr(real, "is_repeated") else real.label == real.LABEL_REPEATED
        assert (ours.name, ours.many) == (real.name, many)
        assert ours.kind in wire_kinds(real), (table, real.name)


def wire_kinds(real: Any) -> set[str]:
    """The ways that a field of onnx may be read."""
    if real.message_type is not None:
        name = real.message_type.full_name.removeprefix("onnx.")
        return {"blob", name, *(ours for ours, theirs in REAL.items() if theirs == name)}
    return {
        real.TYPE_STRING: {"text", "blob"},
        real.TYPE_BYTES: {"blob", "bytes", "span"},
        real.TYPE_FLOAT: {"float", "floats"},
        real.TYPE_DOUBLE: {"doubles"},
    }.get(real.type, {"int", "varints"})


def tensor(draw: Any, name: str) -> TensorProto:
    """Any numeric type, in raw_data or in the field of its type, or in a file."""
    data_type, dims = draw(st.sampled_from(EASY)), draw(DIMS)
    values = np.zeros(dims, helper.tensor_dtype_to_np_dtype(data_type))
    made: TensorProto = numpy_helper.from_array(values, name)
    kind = draw(st.sampled_from(["raw", "stored", "file"]))
    if kind == "stored" and values.size and data_type in STORES[store_of(data_type)]:
        made = helper.make_tensor(name, data_type, dims, np.zeros(values.size).tolist())
    elif kind == "file":
        onnx.external_data_helper.set_external_data(made, draw(VALUES), draw(st.integers(0, 9)), len(made.raw_data))
        made.ClearField("raw_data")
    return made


def store_of(data_type: int) -> str:
    return next(store for store, types in STORES.items() if data_type in types)


@st.composite
def graphs(draw: Any, depth: int = 2) -> onnx.GraphProto:
    nodes = []
    for i in range(draw(st.integers(0, 3))):
        node = helper.make_node(draw(VALUES), ["x"] * draw(st.integers(0, 2)), [f"n{i}"], domain=draw(VALUES))
        for j in range(draw(st.integers(0, 2))):
            node.attribute.append(attribute(draw, f"a{j}", depth))
        nodes.append(node)
    ends = [value(draw, name) for name in draw(st.lists(VALUES, max_size=2))]
    weights = [tensor(draw, f"w{i}") for i in range(draw(st.integers(0, 3)))]
    made = helper.make_graph(nodes, "g", ends, ends[:1], weights)
    if draw(st.booleans()):
        made.sparse_initializer.append(sparse(draw))
    return made


def attribute(draw: Any, name: str, depth: int) -> onnx.AttributeProto:
    kinds: list[Any] = [
        lambda: draw(st.floats(width=32, allow_nan=False)),
        lambda: draw(st.integers(-(2**63), 2**63 - 1)),
        lambda: draw(st.binary(max_size=9)),
        lambda: [1, -2, 3],
        lambda: [1.0, 2.0],
        lambda: ["a", "b"],
        lambda: tensor(draw, ""),
        lambda: [tensor(draw, ""), tensor(draw, "")],
        lambda: sparse(draw),
        lambda: [sparse(draw)],
    ]
    if depth:
        kinds += [lambda: draw(graphs(depth - 1)), lambda: [draw(graphs(depth - 1)), draw(graphs(0))]]
    return helper.make_attribute(name, draw(st.sampled_from(kinds))())


def sparse(draw: Any) -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(
        numpy_helper.from_array(np.ones(2, np.float32), draw(VALUES)), numpy_helper.from_array(np.arange(2)), [9]
    )


def value(draw: Any, name: str) -> onnx.ValueInfoProto:
    shape = draw(st.none() | st.lists(st.integers(0, 9) | VALUES | st.none(), max_size=3))
    made: onnx.ValueInfoProto = helper.make_tensor_value_info(name, draw(st.sampled_from([1, 7, 10])), shape)
    return made


@st.composite
def models(draw: Any) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(draw(VALUES), draw(st.integers(1, 99)))]
    made = helper.make_model(draw(graphs()), opset_imports=opsets, ir_version=10, doc_string="some words")
    if draw(st.booleans()):
        body = helper.make_node("Relu", ["x"], ["y"])
        function = helper.make_function("f", "call", ["x"], ["y"], [body], opsets, [], [attribute(draw, "d", 1)])
        made.functions.append(function)
    if draw(st.booleans()):
        made.training_info.add().algorithm.CopyFrom(draw(graphs(1)))
    helper.set_model_props(made, {"key": "value"})
    return made


@QUICK
@given(models())
def test_it_finds_what_onnx_finds(model: onnx.ModelProto) -> None:
    file = read_onnx(model.SerializeToString(), "x")
    assert sorted(map(key, file.tensors())) == sorted(key(as_ours(t)) for t in tensors_of(model))
    assert file.opsets == {each.domain: each.version for each in model.opset_import}
    assert file.graph is not None and file.metadata == ("key",)
    assert (len(file.functions), len(file.training)) == (len(model.functions), len(model.training_info))
    same_nodes(file.graph, model.graph)
    for ours, real in zip(file.graph.inputs, model.graph.input, strict=True):
        kind = real.type.tensor_type
        assert (ours.name, ours.data_type) == (real.name, kind.elem_type)
        dims = [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in kind.shape.dim]
        assert ours.dims == (tuple(dims) if kind.HasField("shape") else None)


def same_nodes(ours: OnnxGraph, real: Any) -> None:
    assert [(n.domain, n.op_type, n.inputs, n.outputs) for n in ours.nodes] == [
        (n.domain, n.op_type, tuple(n.input), tuple(n.output)) for n in real.node
    ]
    theirs = [real, *inner_graphs(real.node)]
    assert sorted(len(g.nodes) for g in ours.walk()) == sorted(len(g.node) for g in theirs)
