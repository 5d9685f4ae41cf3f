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

from handfirst.engines.errors import UserError
from handfirst.engines.spec import TensorSpec
from handfirst.export.part import BATCH, CELLS, PIXELS, Part
from handfirst.runtime.diffusion.noise import part_seed, randn

Array = NDArray[Any]


def example(part: Part, batch: int, seed: int = 0, cells: tuple[int, int] | None = None) -> dict[str, Array]:
    """Random inputs of one part, the same for the same arguments.

    Args:
        batch: size of the batch axis.
        cells: size of the free spatial axes in latent cells (rows, columns); None: small ones.

    Returns:
        by name: float32 standard normal, or int64 evenly below the part's bound.
    """
    sizes = _sizes(part, batch, cells or least_cells(part))
    return {tensor.name: _values(part, tensor, sizes, seed) for tensor in part.spec.inputs}


def reference(part: Part, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What the part's own torch module gives, in float32 on the CPU.

    Raises:
        UserError: an output has another shape than the spec says, or is not finite.
    """
    with torch.no_grad():
        found = part.module(*(torch.from_numpy(inputs[tensor.name]) for tensor in part.spec.inputs))
    values = found if isinstance(found, tuple) else (found,)
    outputs = {tensor.name: value.numpy() for tensor, value in zip(part.spec.outputs, values, strict=True)}
    _check(part, inputs, outputs)
    return outputs


def least_cells(part: Part) -> tuple[int, int]:
    """Rows and columns of the smallest map that it takes, 8 x 8 where any size will do."""
    limits = part.spec.limits
    found = [
        limits[cell].least if cell in limits else limits[pixel].least // part.cell if pixel in limits else 8
        for cell, pixel in zip(CELLS, PIXELS, strict=True)
    ]
    return found[0], found[1]


def _sizes(part: Part, batch: int, cells: tuple[int, int]) -> dict[str, int]:
    """What the names of the free axes stand for; "rows_2" is half of "rows"."""
    sizes = {BATCH: batch}
    for cell, pixel, size in zip(CELLS, PIXELS, cells, strict=True):
        sizes |= {cell: size, pixel: size * part.cell}
    axes = {axis for tensor in (*part.spec.inputs, *part.spec.outputs) for axis in tensor.shape}
    for axis in axes - sizes.keys():
        if isinstance(axis, str):
            whole, _, share = axis.rpartition("_")
            sizes[axis] = sizes[whole] // int(share)
    return sizes


def _values(part: Part, tensor: TensorSpec, sizes: dict[str, int], seed: int) -> Array:
    shape = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in tensor.shape)
    seed = part_seed(seed, f"{part.role}/{tensor.name}")
    if tensor.dtype == "float32":
        return randn(seed, shape)
    return np.random.RandomState(seed & 0xFFFFFFFF).randint(0, part.below[tensor.name], shape).astype(np.int64)


def _check(part: Part, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
    known: dict[int | str, int] = {BATCH: 1}
    for tensor in part.spec.inputs:
        known |= dict(zip(tensor.shape, inputs[tensor.name].shape, strict=True))
    rows, cols = (known.get(cell, known.get(pixel, 0) // part.cell) for cell, pixel in zip(CELLS, PIXELS, strict=True))
    sizes = _sizes(part, known[BATCH], (rows, cols))
    for tensor in part.spec.outputs:
        value = outputs[tensor.name]
        expected = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in tensor.shape)
        if value.shape != expected:
            raise UserError(
                f"{part.role}: output '{tensor.name}' expected {list(expected)} by the settings, "
                f"the network gives {list(value.shape)}; train or convert it again"
            )
        if not math.isfinite(float(np.abs(value).max(initial=0))):
            raise UserError(f"{part.role}: output '{tensor.name}' is not finite; the weights are damaged, train again")
