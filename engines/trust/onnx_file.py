"""What an ONNX file holds, read without onnx: tensors and where their data lies, operators, names.

The data itself is never touched, so that gigabytes take no longer than their table of contents. Knows nothing about
what is allowed (graph_rules.py) or what operators compute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from handfirst.engines.errors import BundleError
from handfirst.engines.trust.onnx_tables import TABLES
from handfirst.engines.trust.wire import Message, read_message

EXTERNAL = 1

_STORES = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


@dataclass(frozen=True)
class Tensor:
    """One TensorProto, without its data.

    Attributes:
        name: empty for an attribute.
        dims: its shape as declared.
        data_type: the number of onnx's TensorProto.DataType.
        raw: bytes of raw_data; None if there are none.
        place: where raw_data lies in the file.
        stored: elements in float_data, int32_data and so on, where there are any.
        external: keys and values of external_data as they stand; empty for inline data.
        location: data_location; 1 means external.
        segment: whether it claims to be a part of a tensor.
    """

    name: str
    dims: tuple[int, ...]
    data_type: int
    raw: int | None
    place: range | None
    stored: Mapping[str, int]
    external: tuple[tuple[str, str], ...]
    location: int
    segment: bool


@dataclass(frozen=True)
class Value:
    """An input or output of a graph; `dims` is None where nothing is said, an axis is a size, a name or None."""

    name: str
    data_type: int | None
    dims: tuple[int | str | None, ...] | None


@dataclass(frozen=True)
class Attribute:
    """One attribute of an operator.

    Attributes:
        name: as it stands.
        kind: the number of onnx's AttributeProto.AttributeType that it claims; 0 if it does not.
        ints: its integers, one or many.
        text: of a text; None where it is longer than 4096 bytes.
        holds: which of the fields of AttributeProto have a value.
    """

    name: str
    kind: int
    ints: tuple[int, ...]
    text: bytes | None
    holds: frozenset[str]


@dataclass(frozen=True)
class Node:
    """One operator with its attributes, and the tensors and graphs in them."""

    domain: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    tensors: tuple[Tensor, ...]
    sparse: tuple[Tensor, ...]
    graphs: tuple[OnnxGraph, ...]


@dataclass(frozen=True)
class OnnxGraph:
    """One graph or subgraph; `sparse` are the values and indices of sparse initialisers."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    initializers: tuple[Tensor, ...]
    sparse: tuple[Tensor, ...]
    nodes: tuple[Node, ...]

    def walk(self) -> Iterator[OnnxGraph]:
        """Itself and every graph inside it."""
        yield self
        for node in self.nodes:
            for graph in node.graphs:
                yield from graph.walk()

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor, of subgraphs too."""
        for graph in self.walk():
            yield from graph.initializers
            yield from graph.sparse
            for node in graph.nodes:
                yield from node.tensors
                yield from node.sparse


@dataclass(frozen=True)
class OnnxFile:
    """One ModelProto.

    Attributes:
        opsets: versions by domain.
        graph: None if there is none.
        functions: name and nodes of every function, as graphs without initialisers.
        training: graphs of training_info.
        metadata: keys of the model's metadata.
    """

    opsets: Mapping[str, int]
    graph: OnnxGraph | None
    functions: tuple[OnnxGraph, ...]
    training: tuple[OnnxGraph, ...]
    metadata: tuple[str, ...]

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor, wherever it hangs."""
        for graph in (*([self.graph] if self.graph else []), *self.functions, *self.training):
            yield from graph.tensors()


def read_onnx(data: bytes, where: str) -> OnnxFile:
    """The contents of an ONNX file.

    Args:
        data: the file's bytes; large tensors are skipped, never copied.
        where: what it is, for messages.

    Raises:
        BundleError: not a ModelProto, or one that parsers could read in different ways; see wire.py.
    """
    model = read_message(data, TABLES, "ModelProto", where)
    domains = [each.get("domain", "") for each in model.get("opset_import", [])]
    if len(set(domains)) != len(domains):
        raise BundleError(f"{where}: the version of one set of operators is said twice; export the bundle again")
    return OnnxFile(
        opsets={each.get("domain", ""): each.get("version", 0) for each in model.get("opset_import", [])},
        graph=_graph(model["graph"]) if "graph" in model else None,
        functions=tuple(_function(each) for each in model.get("functions", [])),
        training=tuple(
            _graph(info[part])
            for info in model.get("training_info", [])
            for part in ("initialization", "algorithm")
            if part in info
        ),
        metadata=tuple(each.get("key", "") for each in model.get("metadata_props", [])),
    )


def _graph(found: Message) -> OnnxGraph:
    return OnnxGraph(
        inputs=tuple(map(_value, found.get("input", []))),
        outputs=tuple(map(_value, found.get("output", []))),
        initializers=tuple(map(_tensor, found.get("initializer", []))),
        sparse=_sparse(found.get("sparse_initializer", [])),
        nodes=tuple(map(_node, found.get("node", []))),
    )


def _function(found: Message) -> OnnxGraph:
    defaults = found.get("attribute_proto", [])  # they may hold tensors and graphs, too
    nodes = [*found.get("node", []), *([{"attribute": defaults}] if defaults else [])]
    return _graph({"node": nodes})


def _node(found: Message) -> Node:
    attributes = found.get("attribute", [])
    one = [(each[kind], kind) for each in attributes for kind in ("t", "g", "sparse_tensor") if kind in each]
    many = {
        kind: [item for each in attributes for item in each.get(kind, [])]
        for kind in ("tensors", "graphs", "sparse_tensors")
    }
    tensors = [item for item, kind in one if kind == "t"] + many["tensors"]
    graphs = [item for item, kind in one if kind == "g"] + many["graphs"]
    sparse = [item for item, kind in one if kind == "sparse_tensor"] + many["sparse_tensors"]
    return Node(
        domain=found.get("domain", ""),
        op_type=found.get("op_type", ""),
        inputs=tuple(found.get("input", [])),
        outputs=tuple(found.get("output", [])),
        attributes=tuple(map(_attribute, attributes)),
        tensors=tuple(map(_tensor, tensors)),
        sparse=_sparse(sparse),
        graphs=tuple(map(_graph, graphs)),
    )


def _attribute(found: Message) -> Attribute:
    return Attribute(
        name=found.get("name", ""),
        kind=found.get("type", 0),
        ints=(*([found["i"]] if "i" in found else []), *found.get("ints", [])),
        text=found.get("s"),
        holds=frozenset(found.keys() - {"name", "type", "doc_string"}),
    )


def _sparse(found: list[Message]) -> tuple[Tensor, ...]:
    return tuple(_tensor(each[part]) for each in found for part in ("values", "indices") if part in each)


def _tensor(found: Message) -> Tensor:
    return Tensor(
        name=found.get("name", ""),
        dims=tuple(found.get("dims", [])),
        data_type=found.get("data_type", 0),
        raw=len(found["raw_data"]) if "raw_data" in found else None,
        place=found.get("raw_data"),
        stored={store: found[store] for store in _STORES if found.get(store)},
        external=tuple((each.get("key", ""), each.get("value", "")) for each in found.get("external_data", [])),
        location=found.get("data_location", 0),
        segment="segment" in found,
    )


def _value(found: Message) -> Value:
    kind = found.get("type", {}).get("tensor_type")
    if kind is None:
        return Value(found.get("name", ""), None, None)
    shape = kind.get("shape")
    dims = None if shape is None else tuple(_axis(axis) for axis in shape.get("dim", []))
    return Value(found.get("name", ""), kind.get("elem_type", 0), dims)


def _axis(found: Message) -> int | str | None:
    """A size wins over a name: an axis that claims both is compared with the spec by its size."""
    size: int | str | None = found.get("dim_value", found.get("dim_param"))
    return size
