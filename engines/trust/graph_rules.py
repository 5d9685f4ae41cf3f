"""What a graph of a bundle may hold: checked on its bytes, before any inference library sees them.

A graph is weights and standard operators: no plans, plugins or foreign code, no file but those that the bundle lists,
no tensor larger than its data. Knows nothing about what the operators compute, so a graph that is merely slow or
allocates much while it runs passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from handfirst.engines.errors import BundleError
from handfirst.engines.graph import Graph
from handfirst.engines.ports import Port, check_ports
from handfirst.engines.spec import TensorSpec
from handfirst.engines.trust.onnx_file import Node, OnnxFile, OnnxGraph, Value, read_onnx
from handfirst.engines.trust.tensor_rules import EXPORT, MAX_RANK, check_tensors, names, shown

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")

FOREIGN = {
    "EPContext", "Snpe",  # blobs or files compiled for one vendor's library
    "PyOp", "PythonOp", "PythonOpGrad", "ATen", "TritonOp", "ExternalOp",  # code outside the library
    "AllReduce", "AllGather", "AllToAll", "Send", "Recv",  # other processes
}  # fmt: skip
FOREIGN_PREFIXES = ("TRT_", "Nccl", "Horovod", "Distributed")

DTYPES = {1: "float32", 2: "uint8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 16: "bfloat16"}


def check_graph_file(graph: Graph) -> None:
    """Refuses a graph that could reach outside its own bytes, or that does not fit its spec.

    Args:
        graph: its `model` must be an ONNX file; its `data` exactly the files that the ONNX file names.

    Raises:
        BundleError: one line with the file, the tensor or operator, what was expected, what came and the remedy.
    """
    where = graph.source or graph.role
    _check_kind(graph.model, where)
    file = read_onnx(graph.model, where)
    main = _main(file, where)
    for each in main.walk():
        for node in each.nodes:
            _check_operator(node, where)
    _check_names(main, [], where)
    _check_ends(main, graph, where)
    check_tensors(main, graph.data, where)


def _check_kind(model: bytes, where: str) -> None:
    """What libraries recognise by its first bytes, whatever it is called: not ONNX."""
    if model[4:8] == b"ORTM":
        raise BundleError(f"{where}: expected an ONNX graph, got one in onnxruntime's own format; {EXPORT}")
    if model[:4] in (b"ftrt", b"ptrt") or model[:4].lower() == b"\x7felf":
        raise BundleError(
            f"{where}: expected an ONNX graph, got a compiled plan; plans are built on this machine and never loaded "
            f"from a bundle; {EXPORT}"
        )


def _main(file: OnnxFile, where: str) -> OnnxGraph:
    if file.graph is None:
        raise BundleError(f"{where}: expected an ONNX graph, got a file without one; {EXPORT}")
    extra = {"functions": file.functions, "training graphs": file.training}
    for name, found in extra.items():
        if found:
            raise BundleError(f"{where}: expected one graph of operators, got {name} as well; inline them and {EXPORT}")
    if "ort_config" in file.metadata:
        raise BundleError(f"{where}: a graph must not carry options of onnxruntime (ort_config); {EXPORT}")
    return file.graph


def _check_operator(node: Node, where: str) -> None:
    if node.domain not in DOMAINS:
        raise BundleError(
            f"{where}: operator {shown(node.op_type)} is of the domain {shown(node.domain)}, expected a standard one; "
            f"{EXPORT}"
        )
    if node.op_type in FOREIGN or node.op_type.startswith(FOREIGN_PREFIXES):
        raise BundleError(
            f"{where}: operator {shown(node.op_type)} runs code or reads files outside the graph; {EXPORT} without it"
        )
    if node.sparse:
        raise BundleError(f"{where}: operator {shown(node.op_type)} has a sparse tensor, expected dense; {EXPORT}")


def _check_names(graph: OnnxGraph, outer: Sequence[set[str]], where: str) -> None:
    """Every value is made once and before it is used, as ONNX demands: hence no cycles and nothing missing."""
    if graph.sparse:
        raise BundleError(f"{where}: expected dense initializers, got a sparse one; {EXPORT}")
    weights = [tensor.name for tensor in graph.initializers]
    _check_unique(weights, "initializer", where)
    _check_unique((value.name for value in graph.inputs), "input", where)
    known = {*weights, *(value.name for value in graph.inputs)}
    scopes = [*outer, known]
    for node in graph.nodes:
        for name in node.inputs:
            if name and not any(name in scope for scope in scopes):
                raise BundleError(
                    f"{where}: {shown(node.op_type)} takes {shown(name)}, expected a weight, an input or an earlier "
                    f"operator's output (is it missing, or part of a cycle?); {EXPORT}"
                )
        for inner in node.graphs:
            _check_names(inner, scopes, where)
        for name in filter(None, node.outputs):
            if name in known:
                raise BundleError(f"{where}: two things are named {shown(name)}, expected one; {EXPORT}")
            known.add(name)
    for value in graph.outputs:
        if not any(value.name in scope for scope in scopes):
            raise BundleError(f"{where}: nothing makes the output {shown(value.name)}; {EXPORT}")


def _check_unique(names: Iterable[str], kind: str, where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BundleError(f"{where}: {kind} {shown(name)} stands twice, expected once; {EXPORT}")
        seen.add(name)


def _check_ends(main: OnnxGraph, graph: Graph, where: str) -> None:
    weights = {tensor.name for tensor in main.initializers}
    inputs = [value for value in main.inputs if value.name not in weights]
    for kind, values, tensors in (("input", inputs, graph.spec.inputs), ("output", main.outputs, graph.spec.outputs)):
        if sorted(value.name for value in values) != sorted(tensor.name for tensor in tensors):
            raise BundleError(
                f"{where}: the manifest names {kind}s {names(t.name for t in tensors)}, the graph has "
                f"{names(value.name for value in values)}; {EXPORT}"
            )
    check_ports(graph.spec, _ports(inputs, graph.spec.inputs), _ports(main.outputs, graph.spec.outputs), where)


def _ports(values: Iterable[Value], tensors: Iterable[TensorSpec]) -> dict[str, Port]:
    """What the file says of each; a shape that it does not say may be any, and is checked when an engine opens it."""
    ranks = {tensor.name: len(tensor.shape) for tensor in tensors}
    return {
        value.name: Port(
            DTYPES.get(value.data_type or 0, "another type"),
            ("?",) * ranks[value.name] if value.dims is None else _short(value.dims),
        )
        for value in values
    }


def _short(dims: tuple[int | str | None, ...]) -> tuple[int | str | None, ...]:
    return tuple(axis[:20] if isinstance(axis, str) else axis for axis in dims[: MAX_RANK + 1])
