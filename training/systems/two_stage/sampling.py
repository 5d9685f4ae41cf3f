"""Sampling in torch for sample sheets, through the runtime's own schedule, table and DDIM step.

The product samples in the runtime; this serves looking at a model while it trains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from handfirst.runtime.diffusion.table import Schedule, StepTable, ddim_table
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.systems.two_stage.body_outpainter import BodyOutpainter
from handfirst.training.systems.two_stage.hand_generator import HandGenerator


@dataclass(frozen=True, eq=False)
class Kept:
    """What stays known while a sheet's pictures are painted: x_c [B, C, h, w], and bool [B, S, h, w], the cells that
    are kept after each of S steps (runtime/diffusion/masks.py, mask_table)."""

    x_c: Tensor
    cells: Tensor


def _ddim(
    predict: Callable[[Tensor, Tensor], Tensor], x_t: Tensor, table: StepTable, kept: Kept | None = None
) -> Tensor:
    eps_0 = x_t
    for row in range(len(table)):
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


def _guide(unconditional: Tensor, conditional: Tensor, guidance: float) -> Tensor:
    return unconditional + guidance * (conditional - unconditional)


@torch.no_grad()
def sample_hands(
    model: HandGenerator,
    c_p: Tensor,
    context: Tensor,
    empty: Tensor,
    settings: TwoStageSettings,
    steps: int,
    guidance: float,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """c_p [B, K', h, w], context [B, L, D], empty [L, D] -> x_0 [B, C, h, w] and the last step's mask."""
    noise = torch.Generator().manual_seed(seed)
    shape = (len(c_p), settings.latent.channels, *c_p.shape[-2:])
    x_t = torch.randn(shape, generator=noise).to(c_p.device)
    both = torch.cat([empty.expand_as(context), context])
    feature = x_t

    def predict(x: Tensor, t: Tensor) -> Tensor:
        nonlocal feature
        out, features = model(torch.cat([torch.cat([x, c_p], 1)] * 2), torch.cat([t, t]), both)
        u, c = out.float().chunk(2)
        feature = features.chunk(2)[1]
        return _guide(u, c, guidance)

    x_0 = _ddim(predict, x_t, ddim_table(Schedule(settings.schedule), steps, guidance))
    return x_0, model.mask(feature)


@torch.no_grad()
def sample_bodies(
    model: BodyOutpainter,
    hint: Tensor,
    context: Tensor,
    empty: Tensor,
    settings: TwoStageSettings,
    steps: int,
    guidance: float,
    seed: int,
    kept: Kept | None = None,
) -> Tensor:
    """hint [B, 4, H, W], context [B, L, D], empty [L, D] -> x_0 [B, C, h, w]; `kept` is blended in as at run time."""
    noise = torch.Generator().manual_seed(seed)
    factor = settings.latent.factor
    shape = (len(hint), settings.latent.channels, hint.shape[-2] // factor, hint.shape[-1] // factor)
    x_t = torch.randn(shape, generator=noise).to(hint.device)
    both, hints = torch.cat([empty.expand_as(context), context]), torch.cat([hint, hint])

    def predict(x: Tensor, t: Tensor) -> Tensor:
        u, c = model(torch.cat([x, x]), torch.cat([t, t]), both, hints).float().chunk(2)
        return _guide(u, c, guidance)

    body = settings.body
    table = ddim_table(
        Schedule(settings.schedule), steps, guidance, unblended=body.unblended, blend_source=body.blend_source
    )
    return _ddim(predict, x_t, table, kept)
