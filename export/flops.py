"""How many floating-point operations a part takes: by torch's own counter, at sizes from which all others follow.

Nothing is computed: torch runs the part on tensors that have a shape and no values. What a run at another size takes
is worked out by the runtime (runtime/profile/flops.py); here it is held against a count at a size of its own.
"""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from handfirst.engines.manifest import FlopCount
from handfirst.export.examples import example, least_cells
from handfirst.export.part import BATCH, CELLS, PIXELS, Part
from handfirst.runtime.profile.flops import operations

SIDES = ((1, 1), (1, 2), (2, 2))
"""Rows and columns that are counted where maps are free, in sides of the smallest one: three areas for a parabola."""

HELD_AGAINST = (3, 1)
"""The size that the others must tell."""


def count_flops(part: Part) -> tuple[FlopCount, ...]:
    """Counts of one row: one of a part whose maps are fixed, else three.

    Empty where they do not tell the count of more rows at another size: a figure that is wrong is worse than none.
    """
    axes = _free_axes(part)
    maps = set(axes) - {BATCH}
    counts = tuple(_at(part, 1, sides) for sides in (SIDES if maps else SIDES[:1]))
    other = _at(part, 2 if BATCH in axes else 1, HELD_AGAINST if maps else SIDES[0])
    told = operations(counts, BATCH, other.axes)
    return counts if told == other.count else ()


def torch_count(part: Part, batch: int, cells: tuple[int, int]) -> int:
    """What torch.utils.flop_counter counts of one run: two for every multiply-add of convolutions and products.

    Args:
        batch: rows.
        cells: rows and columns of the free maps, in latent cells.
    """
    inputs = example(part, batch, cells=cells)
    module, counter = part.module.eval(), FlopCounterMode(display=False)
    # attention is counted by its two products: the counter does not know the kernel that a CPU has for it
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FakeTensorMode(allow_non_fake_inputs=True) as fake, counter:
        module(*(fake.from_tensor(torch.from_numpy(inputs[tensor.name])) for tensor in part.spec.inputs))
    return int(counter.get_total_flops())


def _at(part: Part, batch: int, sides: tuple[int, int]) -> FlopCount:
    rows, cols = least_cells(part)
    cells = (rows * sides[0], cols * sides[1])
    sizes = {BATCH: batch, **dict(zip(CELLS, cells, strict=True))}
    sizes |= {pixel: size * part.cell for pixel, size in zip(PIXELS, cells, strict=True)}
    axes = {axis: sizes[axis] for axis in _free_axes(part)}
    return FlopCount(axes=axes, count=torch_count(part, batch, cells))


def _free_axes(part: Part) -> tuple[str, ...]:
    """The batch and the sides of the maps, in cells or else in pixels; all others hang on them."""
    there = {axis for tensor in part.spec.inputs for axis in tensor.shape}
    sides = CELLS if there.issuperset(CELLS) else PIXELS
    return tuple(axis for axis in (BATCH, *sides) if axis in there)
