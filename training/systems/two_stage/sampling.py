"""Sampling in torch for sample sheets, through the runtime's own schedule, table and DDIM step.

The product samples in the runtime; this serves looking at a model while it trains.
"""

from __future__ import annotations

import torch
from torch import Tensor

from handfirst.runtime.diffusion.table import Schedule, ddim_table
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.models.ddim import Kept, ddim, guide
from handfirst.training.systems.two_stage.body_outpainter import BodyOutpainter
from handfirst.training.systems.two_stage.hand_generator import HandGenerator


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
        return guide(u, c, guidance)

    x_0 = ddim(predict, x_t, ddim_table(Schedule(settings.schedule), steps, guidance))
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
        return guide(u, c, guidance)

    body = settings.body
    table = ddim_table(
        Schedule(settings.schedule), steps, guidance, unblended=body.unblended, blend_source=body.blend_source
    )
    return ddim(predict, x_t, table, kept)
