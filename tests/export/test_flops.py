"""Torch's counts by hand for the layers that matter, and what export makes of them beside runs on real numbers."""

from __future__ import annotations

import pytest
import torch
from support.parts import two_stage_parts
from support.tiny_model import tiny_model, tiny_settings
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from handfirst.engines.manifest import FlopCount
from handfirst.engines.spec import AxisLimits, EngineSpec, TensorSpec
from handfirst.export.examples import example
from handfirst.export.flops import count_flops, torch_count
from handfirst.export.options import ExportOptions
from handfirst.export.part import Part, limit_rows
from handfirst.export.systems.two_stage.sizes import chosen, free_canvas
from handfirst.runtime.profile.flops import operations


class Attention(nn.Module):
    """Two heads of three channels, every cell looks at every cell; then a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Conv2d(6, 5, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).unflatten(1, (2, 3)).transpose(2, 3)
        found = functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return self.out(found.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:]))


class Unruly(nn.Module):
    """A product that is as large for one row as for many."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.weight @ self.weight)


def part(module: nn.Module, *shape: int | str, limits: dict[str, AxisLimits] | None = None) -> Part:
    x, y = (TensorSpec(name=name, dtype="float32", shape=shape) for name in "xy")
    return Part("net", module, EngineSpec(inputs=(x,), outputs=(y,), limits=limits or {}))


def attention(n: int) -> int:
    """Scores and their sum, both n x n x 3 for either head; a convolution of 9 x 6 to 5 on every fourth cell."""
    return 2 * 2 * 2 * n * n * 3 + 2 * (n // 4) * 5 * 6 * 9


def test_a_linear_layer_by_hand() -> None:
    layer = part(nn.Linear(3, 5), "batch", 7, 3)
    assert torch_count(layer, 4, (8, 8)) == 2 * 4 * 7 * 3 * 5
    assert count_flops(layer) == (FlopCount(axes={"batch": 1}, count=2 * 7 * 3 * 5),)


def test_a_convolution_by_hand() -> None:
    """Three by three, stride two: a quarter of the cells; two groups see half of the channels each."""
    layer = part(nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), "batch", 4, "rows", "cols")
    assert torch_count(layer, 3, (8, 12)) == 2 * 3 * (4 * 6) * 6 * (4 // 2) * 9


def test_attention_by_hand() -> None:
    layer = part(Attention(), "batch", 6, "rows", "cols")
    assert torch_count(layer, 2, (8, 4)) == 2 * attention(32)
    found = count_flops(layer)
    assert [(count.axes, count.count) for count in found] == [
        ({"batch": 1, "rows": 8, "cols": 8}, attention(64)),
        ({"batch": 1, "rows": 8, "cols": 16}, attention(128)),
        ({"batch": 1, "rows": 16, "cols": 16}, attention(256)),
    ]
    assert operations(found, "batch", {"batch": 5, "rows": 40, "cols": 12}) == 5 * attention(480)


def test_limits_are_begun_with_and_a_single_row_has_no_axis() -> None:
    limits = {"rows": AxisLimits(least=4, usual=4, most=8, multiple=4), "cols": AxisLimits(least=12, usual=12, most=12)}
    found = count_flops(limit_rows(part(Attention(), "batch", 6, "rows", "cols", limits=limits), 1))
    assert [(count.axes, count.count) for count in found] == [
        ({"rows": 4, "cols": 12}, attention(48)),
        ({"rows": 4, "cols": 24}, attention(96)),
        ({"rows": 8, "cols": 24}, attention(192)),
    ]


def test_what_does_not_grow_with_the_batch_is_not_counted() -> None:
    assert count_flops(part(Unruly(), "batch", 4, 4)) == ()


def on_real_numbers(each: Part, batch: int, cells: tuple[int, int]) -> int:
    inputs = example(each, batch, cells=cells)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        each.module.eval()(*(torch.from_numpy(inputs[tensor.name]) for tensor in each.spec.inputs))
    return int(counter.get_total_flops())


@pytest.mark.parametrize("free", [False, True])
def test_every_part_of_a_model_is_counted_and_runs_as_counted(free: bool) -> None:
    """UNets with attention to cells and to words, residuals of several sizes, both ends of the autoencoder."""
    model = tiny_model(tiny_settings(body=tiny_settings().body.model_copy(update={"width": 128, "height": 128})))
    if free:
        model.settings = chosen(ExportOptions(sizes=((128, 128), (256, 256))), model.settings)
    for each in (free_canvas(made, model.settings) for made in two_stage_parts(model)):
        axes = [axis for axis in ("batch", "rows", "cols", "height", "width") if _has(each, axis)]
        assert each.role not in ("controlnet", "body_unet") or ("rows" in axes) == free
        sizes = {"batch": 3, "rows": 24, "cols": 16, "height": 24 * each.cell, "width": 16 * each.cell}
        told = operations(count_flops(each), "batch", {axis: sizes[axis] for axis in axes})
        assert told == on_real_numbers(each, 3, (24, 16)) > 0, each.role


def _has(each: Part, axis: str) -> bool:
    return any(axis in tensor.shape for tensor in each.spec.inputs)
