"""Every tensor that the onnx library finds in a model, wherever it hangs, in the words of our own reader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx

from handfirst.engines.trust.onnx_file import Tensor
from handfirst.engines.trust.tensor_rules import STORES


def inner_graphs(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        yield from attribute_graphs(node.attribute)


def attribute_graphs(attributes: Any) -> Iterator[Any]:
    for each in attributes:
        for graph in (*([each.g] if each.HasField("g") else []), *each.graphs):
            yield graph
            yield from inner_graphs(graph.node)


def tensors_of(model: onnx.ModelProto) -> list[Any]:
    """What onnx finds: every TensorProto, wherever it hangs."""
    found: list[Any] = []
    tops = [model.graph, *(info.algorithm for info in model.training_info)]
    for top in tops:
        for graph in (top, *inner_graphs(top.node)):
            found += graph.initializer
            found += [part for each in graph.sparse_initializer for part in (each.values, each.indices)]
            found += [t for node in graph.node for t in attribute_tensors(node.attribute)]
    for function in model.functions:
        found += attribute_tensors(function.attribute_proto)
        for graph in attribute_graphs(function.attribute_proto):
            found += graph.initializer
            found += [part for each in graph.sparse_initializer for part in (each.values, each.indices)]
            found += [t for node in graph.node for t in attribute_tensors(node.attribute)]
    return found


def attribute_tensors(attributes: Any) -> list[Any]:
    found: list[Any] = []
    for each in attributes:
        found += [*([each.t] if each.HasField("t") else []), *each.tensors]
        for part in (*([each.sparse_tensor] if each.HasField("sparse_tensor") else []), *each.sparse_tensors):
            found += [part.values, part.indices]
    return found


def as_ours(t: Any) -> Tensor:
    stores = (*STORES, "string_data")
    return Tensor(
        name=t.name,
        dims=tuple(t.dims),
        data_type=t.data_type,
        raw=len(t.raw_data) if t.HasField("raw_data") else None,
        place=None,
        stored={store: len(getattr(t, store)) for store in stores if len(getattr(t, store))},
        external=tuple((entry.key, entry.value) for entry in t.external_data),
        location=t.data_location,
        segment=False,
    )


def key(t: Tensor) -> str:
    return repr((t.name, t.dims, t.data_type, t.raw, sorted(t.stored.items()), t.external, t.location))
