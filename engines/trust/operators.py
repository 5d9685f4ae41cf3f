"""The operators that a graph may have: those that our exporter writes, with their attributes and the values of these.

Graphs come from export/to_onnx.py, so nothing else needs to be understood, and every operator beyond is one more way
to stop a library or to keep it busy for ever: subgraphs (Loop, Scan, If), code, files, random numbers, sizes out of
nowhere. tests/export/test_operators.py compares the lists with what the exporter writes. Knows nothing about values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from handfirst.engines.errors import BundleError
from handfirst.engines.trust.onnx_file import Attribute, Node
from handfirst.engines.trust.tensor_rules import EXPORT, shown

OPSETS = (21, 22, 23)
"""Versions of the standard operators: of float32 and float16 graphs, of bfloat16 ones (convolutions), of half precision
ones for GPUs (attention)."""

SINCE: Mapping[str, int] = {"Attention": 23}
"""The opset that brought an operator; all others are in every opset above."""

MOST_NODES = 10_000
MOST_WEIGHTS = 5_000
"""Stable Diffusion's UNet has some thousands of either; with 100,000 scalars onnxruntime opens for minutes."""

FLOAT, INT, STRING, TENSOR, FLOATS, INTS = 1, 2, 3, 4, 6, 7
_LONGEST = 64


class Rule(NamedTuple):
    """What an attribute may be: its type, and what each of its values may be.

    Attributes:
        kind: the number of onnx's AttributeProto.AttributeType.
        least, most: for integers, inclusive.
        words: for texts.
    """

    kind: int
    least: int = 0
    most: int = 0
    words: tuple[bytes, ...] = ()


Rules = Mapping[str, Rule]

_AXIS = Rule(INT, -8, 8)
_FLAG = Rule(INT, 0, 1)
_NUMBER = Rule(FLOAT)
_COUNTS, _SIDES = Rule(INTS, 1, 1024), Rule(INTS, 0, 1024)  # a stride or a group of 0 would be a division by it
_WINDOW: Rules = {
    "auto_pad": Rule(STRING, words=(b"NOTSET",)),
    "kernel_shape": _COUNTS,
    "strides": _COUNTS,
    "pads": _SIDES,
}
_CONV: Rules = {**_WINDOW, "dilations": _COUNTS, "group": Rule(INT, 1, 1 << 16)}

WRITTEN: Mapping[str, Rules] = {
    "Add": {}, "Cos": {}, "Div": {}, "Expand": {}, "IsNaN": {}, "MatMul": {}, "Mul": {}, "Pow": {}, "Reciprocal": {},
    "Relu": {}, "Sigmoid": {}, "Sin": {}, "Slice": {}, "Sqrt": {}, "Squeeze": {}, "Sub": {}, "Tanh": {},
    "Unsqueeze": {}, "Where": {},
    "Attention": {
        "is_causal": _FLAG, "qk_matmul_output_mode": Rule(INT), "scale": _NUMBER, "softcap": _NUMBER,
    },
    "AveragePool": {**_WINDOW, "ceil_mode": _FLAG, "count_include_pad": _FLAG},
    "Cast": {"saturate": _FLAG, "to": Rule(INT, 1, 16)},
    "Concat": {"axis": _AXIS},
    "Conv": _CONV,
    "ConvTranspose": {**_CONV, "output_padding": _SIDES},
    "DepthToSpace": {"blocksize": Rule(INT, 1, 64), "mode": Rule(STRING, words=(b"CRD", b"DCR"))},
    "Gather": {"axis": _AXIS},
    "Gelu": {"approximate": Rule(STRING, words=(b"none", b"tanh"))},
    "Gemm": {"alpha": _NUMBER, "beta": _NUMBER, "transA": _FLAG, "transB": _FLAG},
    "GroupNormalization": {"epsilon": _NUMBER, "num_groups": Rule(INT, 1, 1 << 16), "stash_type": _FLAG},
    "InstanceNormalization": {"epsilon": _NUMBER},
    "LayerNormalization": {"axis": _AXIS, "epsilon": _NUMBER, "stash_type": _FLAG},
    "ReduceMean": {"keepdims": _FLAG, "noop_with_empty_axes": _FLAG},
    "Reshape": {"allowzero": _FLAG},
    "Resize": {
        "antialias": _FLAG, "cubic_coeff_a": _NUMBER, "exclude_outside": _FLAG, "extrapolation_value": _NUMBER,
        "coordinate_transformation_mode": Rule(STRING, words=(b"asymmetric", b"half_pixel", b"pytorch_half_pixel")),
        "keep_aspect_ratio_policy": Rule(STRING, words=(b"stretch",)),
        "mode": Rule(STRING, words=(b"nearest", b"linear")),
        "nearest_mode": Rule(STRING, words=(b"floor", b"round_prefer_floor")),
    },
    "Shape": {"end": _AXIS, "start": _AXIS},
    "Softmax": {"axis": _AXIS},
    "Split": {"axis": _AXIS, "num_outputs": Rule(INT, 1, 64)},
    "Transpose": {"perm": Rule(INTS, 0, 7)},
}  # fmt: skip
"""By operator: what torch 2.13 writes for every network, precision and option of the export."""

MORE: Mapping[str, Rules] = {
    "Clip": {}, "Erf": {}, "Exp": {}, "Identity": {}, "Max": {}, "Min": {}, "Neg": {},
    "Constant": {
        "value": Rule(TENSOR), "value_float": _NUMBER, "value_floats": Rule(FLOATS),
        "value_int": Rule(INT, -65536, 65536), "value_ints": Rule(INTS, -65536, 65536),
    },
}  # fmt: skip
"""Plain arithmetic and constants that other versions of torch and onnxscript leave where 2.13 simplifies."""

OPERATORS: Mapping[str, Rules] = {**WRITTEN, **MORE}


def check_operator(node: Node, opset: int, where: str) -> None:
    """Raises a BundleError, in one line, for an operator or an attribute that our exporter does not write.

    Args:
        opset: the one that the graph says it is of.
    """
    if node.domain:
        raise BundleError(
            f"{where}: operator {shown(node.op_type)} is of the domain {shown(node.domain)}, expected a standard one; "
            f"{EXPORT}"
        )
    rules = OPERATORS.get(node.op_type)
    if rules is None:
        raise BundleError(
            f"{where}: operator {shown(node.op_type)} is none that handfirst exports; {EXPORT}, with this handfirst"
        )
    if opset < SINCE.get(node.op_type, 0):
        raise BundleError(
            f"{where}: operator {shown(node.op_type)} is of opset {SINCE[node.op_type]}, the graph is of {opset}; "
            f"{EXPORT}"
        )
    seen = set()
    for attribute in node.attributes:
        rule = rules.get(attribute.name)
        if rule is None or attribute.name in seen or not _fits(attribute, rule):
            raise BundleError(
                f"{where}: operator {shown(node.op_type)} has an attribute {shown(attribute.name)} that handfirst does "
                f"not export, or a value of it; {EXPORT}, with this handfirst"
            )
        seen.add(attribute.name)


def _fits(attribute: Attribute, rule: Rule) -> bool:
    """The type that is said, a value of that type and no other beside it."""
    holds = {FLOAT: "f", INT: "i", STRING: "s", TENSOR: "t", FLOATS: "floats", INTS: "ints"}[rule.kind]
    if attribute.kind != rule.kind or not attribute.holds <= {holds}:
        return False
    if rule.kind == STRING:
        return attribute.text in rule.words
    numbers = attribute.ints
    return len(numbers) <= _LONGEST and all(rule.least <= number <= rule.most for number in numbers)
