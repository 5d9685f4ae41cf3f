"""Which canvases an exported model paints: the one it was trained for, another, or a range that requests choose from.

Written into settings and specs, obeyed by the runtime, checked by every engine. Knows nothing about graphs; to_onnx.py
leaves every axis free that has a name, within its limits.
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd

from handfirst.engines.errors import UserError
from handfirst.engines.spec import AxisLimits, EngineSpec, TensorSpec
from handfirst.export.options import ExportOptions, Size
from handfirst.export.part import CELLS, PIXELS, Part
from handfirst.runtime.pose.size import LARGEST_SIDE
from handfirst.runtime.systems.two_stage.roles import PREVIEW
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings

MULTIPLE = 64
"""Pixels: three halvings of a latent of eight pixels per cell."""

LEAST_FREE = 2 * MULTIPLE
"""Pixels of the smallest free side: where a map is one cell wide, torch's exporter takes its width for fixed."""

FIXED = ("text_encoder", "hand_unet", "mask_head")
"""Parts that know nothing of the canvas."""


def chosen(options: ExportOptions, trained: TwoStageSettings) -> TwoStageSettings:
    """The model's settings with the canvas that was chosen, or with all those that it was trained on.

    Raises:
        UserError: a side is no multiple of 64, or the canvas is not between the smallest and the largest.
    """
    width, height = options.size or (trained.body.width, trained.body.height)
    if options.size is not None:
        _check(options.size, 1)
    changes: dict[str, object] = {"width": width, "height": height}
    if options.sizes is not None:
        least, most = options.sizes
        for size in (least, (width, height), most):
            _check(size, LEAST_FREE)
        changes |= {
            "widths": _limits("width", least[0], width, most[0]),
            "heights": _limits("height", least[1], height, most[1]),
        }
    elif options.size is not None:
        changes |= {"widths": None, "heights": None}
    else:
        for name, limits in (("width", trained.body.widths), ("height", trained.body.heights)):
            if limits is not None and limits.least < 2 * limits.multiple:
                raise UserError(
                    f"the model was trained on canvases of a {name} from {limits.least}, graphs of free size need "
                    f"{2 * limits.multiple}; choose other ones with --sizes, or a single one with --size"
                )
    return trained.model_copy(update={"body": trained.body.model_copy(update=changes)})


def _check(size: Size, least: int) -> None:
    if any(side % MULTIPLE or not least <= side <= LARGEST_SIDE for side in size):
        above = f" from {least}" if least > 1 else ""
        raise UserError(
            f"expected a canvas in multiples of {MULTIPLE} pixels{above} up to {LARGEST_SIDE}, got {size[0]}x{size[1]}"
        )


def _limits(side: str, least: int, usual: int, most: int) -> AxisLimits:
    if not least <= usual <= most:
        raise UserError(
            f"sizes: the model's own {side} of {usual} is not between {least} and {most}; "
            "widen them, or give another canvas with --size"
        )
    return AxisLimits(least=least, usual=usual, most=most, multiple=MULTIPLE)


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
    if part.role in ("vae_decoder", PREVIEW):  # these decode hands as well
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
