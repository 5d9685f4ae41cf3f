"""A graph's files in a bundle's folder, and the graph read back from them as the runtime will read it.

Small graphs are one file; the weights of larger ones lie in a second, which is written tensor by tensor, so that
nothing is in memory twice. Knows nothing about what a graph computes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
from onnx_ir import external_data

from handfirst.engines.graph import Graph, Precision
from handfirst.engines.manifest import FileEntry
from handfirst.engines.private import Folder, mapped
from handfirst.engines.spec import EngineSpec

INLINE_LIMIT = 1 << 28
"""Bytes of weights up to which a graph is one file; protobuf itself ends at 2 GiB."""

SMALL = 1024
"""Bytes up to which a tensor stays in the graph in any case: shapes and the like, which parsers want to see."""


@dataclass(frozen=True)
class GraphFiles:
    """The names of a graph's files: the ONNX file, and those of its external weights."""

    file: str
    data: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (self.file, *self.data)


def write_graph(model: ir.Model, folder: Path, role: str) -> GraphFiles:
    """Writes `{role}.onnx` and, for large graphs, `{role}.weights`; the same graph gives the same bytes."""
    file, data = f"{role}.onnx", f"{role}.weights"
    values = [value.const_value for value in model.graph.initializers.values()]
    large = sum(tensor.nbytes for tensor in values if tensor is not None) > INLINE_LIMIT
    if large:
        external_data.unload_from_model(model, folder, data, size_threshold_bytes=SMALL)
    (folder / file).write_bytes(serialise(model))
    return GraphFiles(file, (data,) if large else ())


def serialise(model: ir.Model) -> bytes:
    """The bytes of the ONNX file."""
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data


def read_graph(folder: Path, files: GraphFiles, role: str, spec: EngineSpec, precision: Precision) -> Graph:
    """The graph as an engine takes it."""
    data = {name: mapped(folder / name) for name in files.data}
    lies = Folder(folder) if data else None
    return Graph(role, spec, (folder / files.file).read_bytes(), data, precision, source=files.file, folder=lies)


def file_entry(path: Path) -> FileEntry:
    """What the manifest says of a file."""
    with path.open("rb") as file:
        return FileEntry(sha256=hashlib.file_digest(file, "sha256").hexdigest(), size=path.stat().st_size)
