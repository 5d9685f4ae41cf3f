"""How a group normalisation is written without ONNX's GroupNormalization: as an instance normalisation of the groups.

GroupNormalization (21) would be one node, but onnxruntime has no kernel for it, neither on CPUs nor in CUDA: it
unfolds each into simple nodes as the session opens. This form has one: sessions on a CPU open in half of the time, and
the UNets of the embedded model run in .87 .. .91 of it. In half precision the plain form keeps GroupNormalization,
which alone says that the statistics are taken in float32; the form for GPUs says so with casts. Knows nothing about
which parts have one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset21 as op

Translations = dict[Callable[..., Any], Callable[..., Any]]

_FLOAT32 = 1
"""As TensorProto.DataType numbers it."""


def _group_norm(
    x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enabled: bool = True
) -> Any:
    """aten::group_norm of x [B, C, ...] in float32; weight and bias [C] or None; `cudnn_enabled` says how, not what."""
    return _affine(x, _normal(x, op.Shape(x), groups, eps), weight, bias)


def _group_norm_half(
    x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enabled: bool = True
) -> Any:
    """The same of x in half precision: statistics and division in float32, weight and bias in x's own precision."""
    normal = _normal(op.Cast(x, to=_FLOAT32), op.Shape(x), groups, eps)
    return _affine(x, op.Cast(normal, to=int(x.dtype)), weight, bias)


def _normal(x: Any, shape: Any, groups: int, eps: float) -> Any:
    grouped = op.Reshape(x, op.Constant(value_ints=[0, groups, -1]))
    ones, zeros = op.Constant(value_floats=[1.0] * groups), op.Constant(value_floats=[0.0] * groups)
    return op.Reshape(op.InstanceNormalization(grouped, ones, zeros, epsilon=eps), shape)


def _affine(x: Any, normal: Any, weight: Any, bias: Any) -> Any:
    per_channel = op.Constant(value_ints=[-1] + [1] * (len(x.shape) - 2))
    if weight is not None:
        normal = op.Mul(normal, op.Reshape(weight, per_channel))
    return normal if bias is None else op.Add(normal, op.Reshape(bias, per_channel))


FLOAT32: Translations = {torch.ops.aten.group_norm.default: _group_norm}
HALF: Translations = {torch.ops.aten.group_norm.default: _group_norm_half}
"""For torch.onnx.export's custom_translation_table."""
