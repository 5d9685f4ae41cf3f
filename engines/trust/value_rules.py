"""What a library would compute while it opens a graph, and what integers would stop it: refused before it sees them.

A library folds whatever follows from constants alone as it opens a graph: that may make any amount of data out of a few
bytes, so only operators that keep the amount may stand there. Integers divided by 0, and the least one by -1, end the
process: whatever divides integers is a weight of positive numbers or the size of an input. Knows types and constants,
no shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from handfirst.engines.errors import BundleError
from handfirst.engines.trust.onnx_file import Node, OnnxGraph, Tensor
from handfirst.engines.trust.tensor_rules import EXPORT, shown

FLOATS = (1, 10, 11, 16)
INT64, BOOL = 7, 9
_BYTES = 8

KEEP = {"Cast", "Constant", "Identity", "Neg", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
"""Give as many elements as they take, up to eight bytes each."""

_TYPES: Mapping[str, int] = {"Shape": INT64, "IsNaN": BOOL}
_FRACTIONS = {"Div", "AveragePool", "ReduceMean", "Pow", "Reciprocal"}
"""Would divide integers."""


PICK = {"Gather", "Identity", "Reshape", "Slice", "Squeeze", "Unsqueeze"}
"""Give some of the numbers that they take."""


def check_values(main: OnnxGraph, model: bytes, where: str) -> None:
    """Every operator of a graph without subgraphs, in its order.

    Args:
        model: the bytes of the ONNX file.

    Raises:
        BundleError: the first operator that computes from constants alone what may be large, or divides integers by
            anything but positive weights and the sizes of inputs (none is 0: engine.py looks).
    """
    weights = {tensor.name: tensor for tensor in main.initializers}
    inputs = {value.name for value in main.inputs}
    types = {value.name: value.data_type or 0 for value in main.inputs}
    types |= {name: tensor.data_type for name, tensor in weights.items()}
    constants, sizes = set(weights), set[str]()
    for node in main.nodes:
        if constants.issuperset(filter(None, node.inputs)):
            if node.op_type not in KEEP:
                raise BundleError(
                    f"{where}: operator {shown(node.op_type)} takes constants alone, expected its result as a weight; "
                    f"{EXPORT}"
                )
            constants.update(node.outputs)
        if _divides_integers(node, types) and not _safe(node, sizes, weights, model):
            raise BundleError(
                f"{where}: operator {shown(node.op_type)} divides integers, expected floats, or a divisor that is a "
                f"weight of positive int64 numbers or the size of an input; {EXPORT}"
            )
        first = node.inputs[0] if node.inputs else ""
        if (node.op_type == "Shape" and first in inputs) or (node.op_type in PICK and first in sizes):
            sizes.update(node.outputs)
        types |= dict.fromkeys(node.outputs, _type(node, types))


def _divides_integers(node: Node, types: Mapping[str, int]) -> bool:
    return node.op_type in _FRACTIONS and not all(types.get(name) in FLOATS for name in node.inputs[:1])


def _safe(node: Node, sizes: Set[str], weights: Mapping[str, Tensor], model: bytes) -> bool:
    if node.op_type != "Div" or len(node.inputs) != 2:
        return False
    divisor = weights.get(node.inputs[1])
    if divisor is None:
        return node.inputs[1] in sizes
    return divisor.data_type == INT64 and divisor.place is not None and _positive(divisor, model)


def _positive(tensor: Tensor, model: bytes) -> bool:
    place = tensor.place or range(0)
    numbers = [
        int.from_bytes(model[at : at + _BYTES], "little", signed=True) for at in range(place.start, place.stop, _BYTES)
    ]
    return len(place) % _BYTES == 0 and all(number > 0 for number in numbers)


def _type(node: Node, types: Mapping[str, int]) -> int:
    """Of all outputs; 0 where it cannot be told."""
    if node.op_type in _TYPES:
        return _TYPES[node.op_type]
    if node.op_type == "Cast":
        return next((number for a in node.attributes if a.name == "to" for number in a.ints), 0)
    if node.op_type == "Constant":
        kinds = {"value_float": 1, "value_floats": 1, "value_int": INT64, "value_ints": INT64}
        return next((kinds.get(a.name, node.tensors[0].data_type if node.tensors else 0) for a in node.attributes), 0)
    first = 1 if node.op_type == "Where" else 0  # of the others every output has the type of the first input
    return types.get(node.inputs[first], 0) if len(node.inputs) > first else 0
