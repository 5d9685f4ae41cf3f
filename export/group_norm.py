"""How a group normalisation is written in a float32 graph: as an instance normalisation of the groups.

ONNX's GroupNormalization (21) would be one node, but onnxruntime has no CPU kernel for it: it unfolds each into simple
nodes as the session opens. This form has a kernel: sessions open in half of the time, and the UNets of the embedded
model run in .87 .. .91 of it. In half precision GroupNormalization stays: it alone says that the statistics are
taken in float32. Knows nothing about which parts have one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset21 as op

Translations = dict[Callable[..., Any], Callable[..., Any]]


def _group_norm(
    x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enabled: bool = True
) -> Any:
    """aten::group_norm of x [B, C, ...], weight and bias [C] or None; `cudnn_enabled` says how, not what."""
    grouped = op.Reshape(x, op.Constant(value_ints=[0, groups, -1]))
    ones, zeros = op.Constant(value_floats=[1.0] * groups), op.Constant(value_floats=[0.0] * groups)
    normal = op.Reshape(op.InstanceNormalization(grouped, ones, zeros, epsilon=eps), op.Shape(x))
    per_channel = op.Constant(value_ints=[-1] + [1] * (len(x.shape) - 2))
    if weight is not None:
        normal = op.Mul(normal, op.Reshape(weight, per_channel))
    return normal if bias is None else op.Add(normal, op.Reshape(bias, per_channel))


FLOAT32: Translations = {torch.ops.aten.group_norm.default: _group_norm}
"""For torch.onnx.export's custom_translation_table."""
