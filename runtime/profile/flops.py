"""How many floating-point operations a graph takes for given shapes: products and sums of convolutions and matrices.

Two for every multiply-add, as torch.utils.flop_counter counts; normalisation, activation and the like are left out.
An operator without a rule in shapes.py refuses the whole graph: no count lacks a part. Knows nothing about time.
"""

from __future__ import annotations

from math import prod

from handfirst.engines.bundle import Bundle
from handfirst.engines.spec import EngineSpec
from handfirst.runtime.profile.nodes import read_nodes
from handfirst.runtime.profile.shapes import UnknownShapeError, propagate
from handfirst.runtime.profile.sizes import Shape, Size


class BundleFlops:
    """Counts for every role of a bundle; a graph is read when it is first asked for, and its weights never.

    Attributes:
        unknown: by role, what stood in the way of a count.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.unknown: dict[str, str] = {}
        self._bundle = bundle
        self._graphs: dict[str, GraphFlops] = {}

    def count(self, role: str, shapes: tuple[Shape, ...]) -> int | None:
        """Of one run with inputs of these shapes, in the order of the spec; None if it cannot be told.

        Raises:
            BundleError: the file of the graph cannot be trusted.
        """
        if role not in self._graphs:
            entry = self._bundle.manifest.engines[role]
            self._graphs[role] = GraphFlops(self._bundle.bytes(entry.file), entry.spec, f"{self._bundle.path}: {role}")
        try:
            return self._graphs[role].count(shapes)
        except UnknownShapeError as error:
            self.unknown[role] = str(error)
            return None


class GraphFlops:
    """Counts for one graph; equal shapes are counted once.

    Args:
        model: the bytes of its ONNX file, checked.
        spec: in whose order shapes are given.
        where: for messages.

    Raises:
        BundleError: not an ONNX file.
    """

    def __init__(self, model: bytes, spec: EngineSpec, where: str) -> None:
        self._nodes = read_nodes(model, where)
        self._names = [tensor.name for tensor in spec.inputs]
        self._counts: dict[tuple[Shape, ...], int] = {}

    def count(self, shapes: tuple[Shape, ...]) -> int:
        """Of one run.

        Raises:
            UnknownShapeError: an operator whose shape cannot be told.
        """
        if shapes not in self._counts:
            steps = propagate(self._nodes, dict(zip(self._names, shapes, strict=True)))
            self._counts[shapes] = sum(_flops(operator.kind, taken, made) for operator, taken, made in steps)
        return self._counts[shapes]


def _flops(kind: str, taken: list[Size | None], made: list[Size]) -> int:
    if kind not in ("Conv", "ConvTranspose", "MatMul", "Gemm") or taken[0] is None or taken[1] is None:
        return 0
    given, weight, out = taken[0].shape, taken[1].shape, made[0].shape
    if kind == "Conv":  # every output pixel sees the whole of every filter once
        return 2 * out[0] * prod(out[2:]) * prod(weight)
    if kind == "ConvTranspose":  # every input pixel is spread by the whole of every filter
        return 2 * given[0] * prod(given[2:]) * prod(weight)
    if kind == "Gemm":
        return 2 * out[0] * prod(weight)
    return 2 * prod(out) * given[-1]
