"""The operators of an ONNX graph with their attributes and their small constants: what shapes follow from.

Read with the walker of engines/trust, so without any library and without touching a weight. Knows nothing about what
an operator does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.trust.onnx_tables import TABLES
from handfirst.engines.trust.wire import Field, Message, read_message

_TABLES = {
    **TABLES,
    "AttributeProto": {
        **TABLES["AttributeProto"],
        1: Field("name", "text"),
        4: Field("s", "bytes"),
        8: Field("ints", "int", many=True),
    },
    "TensorProto": {
        **TABLES["TensorProto"],
        7: Field("int64_data", "int", many=True),
        9: Field("raw_data", "bytes"),
    },
}
_DTYPES = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64}


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor of the file: its shape, and its values where they are few (sizes, axes, scales)."""

    shape: tuple[int, ...]
    values: NDArray[Any] | None


@dataclass(frozen=True, eq=False)
class Operator:
    """One node; "" stands for an input that is left out. Attributes: whole numbers, lists of them, texts, constants."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Nodes:
    """A graph's operators, each after those that it needs, and its constants by name."""

    operators: tuple[Operator, ...]
    constants: Mapping[str, Constant]
    outputs: tuple[str, ...]


def read_nodes(model: bytes, where: str) -> Nodes:
    """The graph of an ONNX file.

    Raises:
        BundleError: not an ONNX file.
    """
    graph = read_message(model, _TABLES, "ModelProto", where).get("graph", {})
    return Nodes(
        operators=tuple(map(_operator, graph.get("node", []))),
        constants={each["name"]: _constant(each) for each in graph.get("initializer", []) if "name" in each},
        outputs=tuple(each["name"] for each in graph.get("output", [])),
    )


def _operator(found: Message) -> Operator:
    attributes = {each["name"]: _attribute(each) for each in found.get("attribute", []) if "name" in each}
    return Operator(
        kind=found.get("op_type", ""),
        inputs=tuple(found.get("input", [])),
        outputs=tuple(found.get("output", [])),
        attributes=attributes,
    )


def _attribute(found: Message) -> Any:
    """None for what shapes never follow from: floats, graphs, long texts."""
    if "t" in found:
        return _constant(found["t"])
    if "s" in found:
        return None if found["s"] is None else found["s"].decode("utf-8", "replace")
    return found.get("i", found.get("ints", 0 if found.get("type") == 2 else None))


def _constant(found: Message) -> Constant:
    shape = tuple(found.get("dims", []))
    dtype, raw, listed = _DTYPES.get(found.get("data_type", 0)), found.get("raw_data"), found.get("int64_data")
    values: NDArray[Any] | None = None
    if dtype is not None and raw is not None:
        values = np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).reshape(shape)
    elif listed is not None:
        values = np.array(listed, np.int64).reshape(shape)
    elif 0 in shape and dtype is not None:
        values = np.zeros(shape, dtype)
    return Constant(shape, values)
