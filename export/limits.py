"""Which sizes of its free axes a part takes: written into its spec, obeyed by the runtime, checked by every engine.

Knows nothing about graphs; to_onnx.py leaves every axis free that has a name, within its limits.
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd

from handfirst.engines.errors import UserError
from handfirst.engines.spec import AxisLimits, EngineSpec, TensorSpec
from handfirst.export.parts import BATCH, CELLS, PIXELS, Part
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings

FIXED = ("text_encoder", "hand_unet", "mask_head")
"""Parts that know nothing of the canvas."""

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


def free_canvas(part: Part, settings: TwoStageSettings) -> Part:
    """The part with maps of any size that the settings promise; as it is where they promise one alone.

    Fixed maps of the body's networks get names: "rows", and "rows_2" for what is half as high. Names are limited, so
    that engines know all sizes; the multiples say how axes hang together.
    """
    body, factor = settings.body, settings.latent.factor
    if body.heights is None or body.widths is None or part.role in FIXED:
        return part
    pixels = dict(zip(PIXELS, (body.heights, body.widths), strict=True))
    cells = dict(zip(CELLS, (_shrunk(limits, factor) for limits in pixels.values()), strict=True))
    if part.role == "vae_decoder":  # it decodes hands as well
        cells = {axis: _widened(limits, settings.hand.size // factor) for axis, limits in cells.items()}
        pixels = {axis: _widened(limits, settings.hand.size) for axis, limits in pixels.items()}
    found = {**pixels, **cells}

    def named(tensor: TensorSpec) -> TensorSpec:
        if len(tensor.shape) != 4:
            return tensor
        sizes: list[int | str] = []
        for axis, size in zip(CELLS, tensor.shape[2:], strict=True):
            if isinstance(size, int):
                share = cells[axis].usual // size
                name = axis if share == 1 else f"{axis}_{share}"
                found[name] = _shrunk(cells[axis], share)
                size = name
            sizes.append(size)
        return tensor.model_copy(update={"shape": (*tensor.shape[:2], *sizes)})

    spec = part.spec
    inputs, outputs = tuple(map(named, spec.inputs)), tuple(map(named, spec.outputs))
    used = {axis for tensor in (*inputs, *outputs) for axis in tensor.shape}
    limits = {**spec.limits, **{axis: each for axis, each in found.items() if axis in used}}
    return replace(part, spec=EngineSpec(inputs=inputs, outputs=outputs, limits=limits))


def _shrunk(limits: AxisLimits, share: int) -> AxisLimits:
    """Of an axis that is `share` times smaller.

    Raises:
        UserError: it does not come out even.
    """
    if limits.multiple % share:
        raise UserError(f"a map {share} times smaller than the canvas needs more than steps of {limits.multiple}")
    least, usual, most = limits.least // share, limits.usual // share, limits.most // share
    return AxisLimits(least=least, usual=usual, most=most, multiple=limits.multiple // share)


def _widened(limits: AxisLimits, size: int) -> AxisLimits:
    """That let `size` through as well."""
    least, most = min(limits.least, size), max(limits.most, size)
    return AxisLimits(least=least, usual=limits.usual, most=most, multiple=gcd(limits.multiple, size))


def _alone(tensors: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    return tuple(
        tensor.model_copy(update={"shape": tuple(1 if axis == BATCH else axis for axis in tensor.shape)})
        for tensor in tensors
    )
