"""Large weights as 16-bit numbers in the file, 32-bit in the arithmetic: half the size, the same results.

The networks' large weights are rounded to float16 *before* they are exported and compared, so that storing them as
float16 with a Cast to float32 loses nothing. Small tensors (norms, biases) stay as they are: they weigh nothing and
their rounding would be felt. Knows nothing about roles or bundles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

LARGE = 1024
"""Elements from which a tensor counts as large."""


@torch.no_grad()
def round_weights(module: nn.Module) -> None:
    """Rounds every large float32 parameter to the nearest float16 value, in place.

    A parameter with a value beyond float16's range stays as it is, and so will its initialiser.
    """
    for parameter in module.parameters():
        if parameter.dtype == torch.float32 and parameter.numel() >= LARGE:
            rounded = parameter.half().float()
            if bool(torch.isfinite(rounded).all()):
                parameter.copy_(rounded)


def store_half(model: ir.Model) -> None:
    """Every large float32 initialiser that float16 holds exactly becomes float16 and a Cast to float32, in place."""
    graph = model.graph
    casts = []
    for name, value in list(graph.initializers.items()):
        half = _exact_half(value.const_value)
        if half is None:
            continue
        stored = ir.Value(
            name=f"{name}.half",
            type=ir.TensorType(ir.DataType.FLOAT16),
            shape=ir.Shape(half.shape),
            const_value=ir.tensor(half, name=f"{name}.half"),
        )
        cast = ir.node("Cast", [stored], {"to": ir.DataType.FLOAT.value}, name=f"cast.{name}")
        value.replace_all_uses_with(cast.outputs[0])
        del graph.initializers[name]
        cast.outputs[0].name = name
        graph.register_initializer(stored)
        casts.append(cast)
    if casts:
        graph.insert_before(graph[0], casts)


def _exact_half(tensor: Any) -> np.ndarray[Any, np.dtype[np.float16]] | None:
    """The tensor's values as float16 where that changes none of them; None otherwise."""
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < LARGE:
        return None
    values = tensor.numpy()
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), values) else None
