"""What a graph of a bundle may hold: checked on its bytes, before any inference library sees them.

A graph is weights and the operators that our exporter writes (operators.py): no plans, plugins or foreign code, no
loops, no file but those that the bundle lists, no tensor larger than its data, nothing that a library would work out at
length while it opens (value_rules.py). What is merely slow or allocates much while it runs passes: `handfirst verify
--isolated` runs it within limits.
"""

from __future__ import annotations

from collections.abc import Iterable

from handfirst.engines.errors import BundleError
from handfirst.engines.graph import Graph
from handfirst.engines.spec import Port, TensorSpec, check_ports
from handfirst.engines.trust.onnx_file import OnnxFile, OnnxGraph, Value, read_onnx
from handfirst.engines.trust.operators import MOST_NODES, MOST_WEIGHTS, OPSETS, check_operator
from handfirst.engines.trust.tensor_rules import EXPORT, MAX_RANK, check_tensors, names, shown
from handfirst.engines.trust.value_rules import check_values

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
    _check_amount(main, where)
    for node in main.nodes:
        check_operator(node, file.opsets[""], where)
    _check_names(main, where)
    _check_ends(main, graph, where)
    check_tensors(main, graph.data, where)
    check_values(main, graph.model, where)


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
    if set(file.opsets) != {""} or file.opsets[""] not in OPSETS:
        wanted = f"{', '.join(map(str, OPSETS[:-1]))} or {OPSETS[-1]}"
        raise BundleError(f"{where}: expected the operators of opset {wanted}, got {str(file.opsets)[:80]}; {EXPORT}")
    return file.graph


def _check_amount(main: OnnxGraph, where: str) -> None:
    for kind, count, most in (
        ("operators", len(main.nodes), MOST_NODES),
        ("weights", len(main.initializers), MOST_WEIGHTS),
    ):
        if count > most:
            raise BundleError(f"{where}: expected at most {most} {kind}, got {count}; {EXPORT}")


def _check_names(graph: OnnxGraph, where: str) -> None:
    """Every value is made once and before it is used, as ONNX demands: hence no cycles and nothing missing."""
    if graph.sparse:
        raise BundleError(f"{where}: expected dense initializers, got a sparse one; {EXPORT}")
    weights = [tensor.name for tensor in graph.initializers]
    _check_unique(weights, "initializer", where)
    _check_unique((value.name for value in graph.inputs), "input", where)
    known = {*weights, *(value.name for value in graph.inputs)}
    for node in graph.nodes:
        for name in node.inputs:
            if name and name not in known:
                raise BundleError(
                    f"{where}: {shown(node.op_type)} takes {shown(name)}, expected a weight, an input or an earlier "
                    f"operator's output (is it missing, or part of a cycle?); {EXPORT}"
                )
        for name in filter(None, node.outputs):
            if name in known:
                raise BundleError(f"{where}: two things are named {shown(name)}, expected one; {EXPORT}")
            known.add(name)
    for value in graph.outputs:
        if value.name not in known:
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
