"""Inputs for a part and what torch makes of them: what graphs are exported from, gated with and proven by.

Knows nothing about ONNX.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handfirst.engines.spec import TensorSpec
from handfirst.export.parts import BATCH, CELLS, PIXELS, Part
from handfirst.runtime.noise import part_seed, randn

Array = NDArray[Any]


def example(part: Part, batch: int, seed: int = 0, cells: tuple[int, int] = (8, 8)) -> dict[str, Array]:
    """Random inputs of one part, the same for the same arguments.

    Args:
        batch: size of the batch axis.
        cells: size of the free spatial axes in latent cells (rows, columns).

    Returns:
        by name: float32 standard normal, or int64 below the part's bound.
    """
    rows, cols = cells
    sizes = dict(zip((BATCH, *CELLS, *PIXELS), (batch, rows, cols, rows * part.cell, cols * part.cell), strict=True))
    return {tensor.name: _values(part, tensor, sizes, seed) for tensor in part.spec.inputs}


def reference(part: Part, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What the part's own torch module gives, in float32 on the CPU."""
    with torch.no_grad():
        given = [torch.from_numpy(inputs[tensor.name]) for tensor in part.spec.inputs]
        found = part.module(*given)
    values = found if isinstance(found, tuple) else (found,)
    return {tensor.name: value.numpy() for tensor, value in zip(part.spec.outputs, values, strict=True)}


def _values(part: Part, tensor: TensorSpec, sizes: dict[str, int], seed: int) -> Array:
    shape = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in tensor.shape)
    normals = randn(part_seed(seed, f"{part.role}/{tensor.name}"), shape)
    if tensor.dtype == "float32":
        return normals
    uniform = 0.5 * (1 + np.vectorize(math.erf)(normals / math.sqrt(2)))
    bound = part.below[tensor.name]
    return np.minimum((uniform * bound).astype(np.int64), bound - 1)
