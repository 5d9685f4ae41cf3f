"""The weights of an ONNX graph: where they lie, and what the graph is without them.

Graphs of equal `structure` differ in weights only, so that one compiled plan can serve them all. What counts as a
weight is a floating-point constant that only operators read whose constants are learned; a wrong guess costs a plan of
its own, never a wrong result. Whether a graph is valid is for graph_rules.py and for its engine to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from handfirst.engines.errors import BundleError
from handfirst.engines.graph import Graph
from handfirst.engines.trust.onnx_file import EXTERNAL, OnnxGraph, Tensor, read_onnx

_FLOATING = {1, 10, 11, 16}  # TensorProto.DataType: FLOAT, FLOAT16, DOUBLE, BFLOAT16
_LEARNED = {
    "Add", "BatchNormalization", "Conv", "ConvTranspose", "Div", "Gather", "Gemm", "GroupNormalization",
    "InstanceNormalization", "LayerNormalization", "MatMul", "Mul", "RMSNormalization", "Sub",
}  # fmt: skip
"""Others (Resize, Clip, Pad, ...) are shaped by their constants when they are compiled."""

# Numbers of fields in onnx.proto.
_MODEL_GRAPH, _GRAPH_INITIALIZER, _TENSOR_NAME = 7, 5, 8
_PAYLOAD = {4, 5, 6, 7, 9, 10, 11, 13, 14}  # of a TensorProto: the *_data fields, raw_data and where external data lie

Fields = list[tuple[int, int | memoryview]]


@dataclass(frozen=True)
class External:
    """The bytes of one tensor: a slice of one of Graph.data."""

    location: str
    offset: int
    size: int


@dataclass(frozen=True)
class Weights:
    """What `read_weights` found.

    Attributes:
        external: by tensor, where its bytes are; all tensors that are not in Graph.model itself.
        structure: SHA-256, hex, of the graph without its weights.
    """

    external: Mapping[str, External]
    structure: str


def read_weights(graph: Graph) -> Weights:
    """Reads a graph's bytes.

    Raises:
        BundleError: not an ONNX graph, or external tensors whose bytes the graph does not come with.
    """
    source = graph.source or graph.role
    file = read_onnx(graph.model, source)
    if file.graph is None:
        raise BundleError(f"{source}: expected an ONNX graph, got a file without one; export the bundle again")
    own = [tensor for tensor in file.graph.initializers if tensor.location == EXTERNAL]
    if len(own) != sum(tensor.location == EXTERNAL for tensor in file.tensors()):
        # a parser would look for these on the disk by itself
        raise BundleError(f"{source}: only weights may lie in other files, got one of an operator; export it again")
    external = {tensor.name: _external(tensor, graph.data, source) for tensor in own}
    return Weights(external, _structure(graph, _learned(file.graph), external))


def _external(tensor: Tensor, data: Mapping[str, bytes], source: str) -> External:
    said = dict(tensor.external)
    location = said.get("location", "")
    try:
        offset, length = int(said.get("offset") or 0), int(said.get("length") or 0)
        size = length or len(data[location]) - offset
        if offset >= 0 and size >= 0 and offset + size <= len(data[location]):
            return External(location, offset, size)
    except (KeyError, ValueError):
        pass
    raise BundleError(
        f"{source}: the data of tensor {tensor.name[:60]!r} should lie in {location[:60]!r}, and are not there; "
        "export the bundle again"
    )


def _learned(graph: OnnxGraph) -> set[str]:
    """Names of weights: learned operators read them, and nothing else does."""
    floats = {tensor.name for tensor in graph.initializers if tensor.data_type in _FLOATING}
    nodes = [node for each in graph.walk() for node in each.nodes]
    read = {name for node in nodes if node.op_type in _LEARNED for name in node.inputs}
    return (floats & read) - {name for node in nodes if node.op_type not in _LEARNED for name in node.inputs}


def _structure(graph: Graph, learned: set[str], external: Mapping[str, External]) -> str:
    digest = sha256()
    for number, value in _fields(memoryview(graph.model)):
        if number != _MODEL_GRAPH or isinstance(value, int):
            _add(digest, [(number, value)])
            continue
        for inner, part in _fields(value):
            tensor = _fields(part) if inner == _GRAPH_INITIALIZER and not isinstance(part, int) else None
            name = next((str(v, "utf-8") for n, v in tensor or () if n == _TENSOR_NAME and not isinstance(v, int)), "")
            if tensor is not None and name in learned:
                _add(digest, [field for field in tensor if field[0] not in _PAYLOAD])
                continue
            _add(digest, [(inner, part)])
            if tensor is not None and name in external:
                place = external[name]
                digest.update(memoryview(graph.data[place.location])[place.offset : place.offset + place.size])
    return digest.hexdigest()


def _add(digest: Any, fields: Fields) -> None:
    for number, value in fields:
        head = f"{number}:{value};" if isinstance(value, int) else f"{number}[{len(value)}]"
        digest.update(head.encode())
        if not isinstance(value, int):
            digest.update(value)


def _fields(message: memoryview) -> Fields:
    """The fields of a message that `read_onnx` has found to be well-formed: (number, integer or bytes), in order."""
    fields: Fields = []
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        size, at = _varint(message, at) if kind in (0, 2) else ({1: 8, 5: 4}[kind], at)
        if kind == 0:
            fields.append((tag >> 3, size))
            continue
        fields.append((tag >> 3, message[at : at + size]))
        at += size
    return fields


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
