"""A part of a model that becomes one graph: role, module, and the spec of what it takes and gives.

A part is made when it is needed, so that one network at a time is in memory. Knows nothing about ONNX or systems.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from handfirst.engines.spec import AxisLimits, EngineSpec, TensorSpec

BATCH = "batch"
PIXELS = ("height", "width")
CELLS = ("rows", "cols")
"""Names of free axes: rows of the batch, and sides in pixels and in latent cells."""

GUIDED = 2
"""Rows of one picture's evaluation: without and with the prompt."""


@dataclass(frozen=True)
class Part:
    """One graph to be.

    Attributes:
        role: the engine's role in the bundle.
        module: takes the spec's inputs in order and returns its outputs in order.
        spec: names, dtypes and shapes.
        below: for every integer input the bound (exclusive) of its values.
        cell: pixels per latent cell; free pixel axes must be multiples of it.
    """

    role: str
    module: nn.Module
    spec: EngineSpec
    below: dict[str, int] = field(default_factory=dict)
    cell: int = 1


PartMaker = Callable[[], Part]


class InPrecision(nn.Module):
    """A module in half precision between float32 inputs and outputs; its weights are converted in place."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module = module.eval().to(dtype)
        self.dtype = dtype

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        found = self.module(*(x.to(self.dtype) if x.is_floating_point() else x for x in inputs))
        return tuple(x.float() for x in found) if isinstance(found, tuple) else found.float()


def limit_rows(part: Part, most: int) -> Part:
    """The part with at most `most` rows at once; one row makes the axis a fixed one."""
    spec = part.spec
    if most == 1:
        return replace(
            part, spec=spec.model_copy(update={"inputs": _alone(spec.inputs), "outputs": _alone(spec.outputs)})
        )
    rows = AxisLimits(usual=min(GUIDED, most), most=most)
    return replace(part, spec=spec.model_copy(update={"limits": {**spec.limits, BATCH: rows}}))


def _alone(tensors: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    return tuple(
        tensor.model_copy(update={"shape": tuple(1 if axis == BATCH else axis for axis in tensor.shape)})
        for tensor in tensors
    )
