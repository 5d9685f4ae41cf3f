"""Which sizes of its free axes a part takes: written into its spec, obeyed by the runtime, checked by every engine.

Knows nothing about graphs; to_onnx.py leaves every axis free that has a name.
"""

from __future__ import annotations

from dataclasses import replace

from handfirst.engines.spec import AxisLimits, TensorSpec
from handfirst.export.parts import BATCH, Part

GUIDED = 2
"""Rows of one picture's evaluation: without and with the prompt."""


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
