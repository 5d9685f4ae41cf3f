"""DDIM in torch for sample sheets, by the runtime's own table.

The product samples in the runtime; this serves looking at a model while it trains. Knows no system.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from handfirst.runtime.diffusion.table import StepTable


@dataclass(frozen=True, eq=False)
class Kept:
    """What stays known while a sheet's pictures are painted: x_c [B, C, h, w], and bool [B, S, h, w], the cells that
    are kept after each of S steps (runtime/diffusion/masks.py, mask_table)."""

    x_c: Tensor
    cells: Tensor


def ddim(
    predict: Callable[[Tensor, Tensor], Tensor],
    x_t: Tensor,
    table: StepTable,
    kept: Kept | None = None,
    begin: Callable[[Tensor, float], Tensor] = lambda x_t, alpha_bar: x_t,
) -> Tensor:
    """x_T [B, C, h, w] -> x_0.

    Args:
        predict: (x_t, t int64 [B]) -> what the network predicts.
        kept: blended in after the steps where the table says so.
        begin: (x_t, alpha_bar_t) -> what the step starts from instead, blended before it.
    """
    eps_0 = x_t
    for row in range(len(table)):
        x_t = begin(x_t, float(table.alpha_bar[row]))
        a, b = float(table.alpha_bar[row]), float(table.alpha_bar_prev[row])
        out = predict(x_t, torch.full((len(x_t),), int(table.timestep[row]), device=x_t.device)).float()
        if table.prediction == "sample":
            x_0, eps = out, (x_t - a**0.5 * out) / (1 - a) ** 0.5
        elif table.prediction == "epsilon":
            x_0, eps = (x_t - (1 - a) ** 0.5 * out) / a**0.5, out
        else:
            x_0, eps = a**0.5 * x_t - (1 - a) ** 0.5 * out, a**0.5 * out + (1 - a) ** 0.5 * x_t
        x_t = b**0.5 * x_0 + (1 - b) ** 0.5 * eps
        if kept is not None and table.blend[row]:
            known = float(table.known_signal[row]) * kept.x_c + float(table.known_noise[row]) * eps_0
            x_t = torch.where(kept.cells[:, row, None], known, x_t)
    return x_t


def guide(unconditional: Tensor, conditional: Tensor, guidance: float) -> Tensor:
    """u + g (c - u)."""
    return unconditional + guidance * (conditional - unconditional)
