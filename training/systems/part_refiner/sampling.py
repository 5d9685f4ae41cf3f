"""Both stages sampled in torch for sample sheets, through the runtime's own schedule and table.

The product samples in the runtime; this serves looking at a model while it trains.
"""

from __future__ import annotations

import torch
from torch import Tensor

from handfirst.runtime.diffusion.table import Schedule, ddim_table
from handfirst.runtime.systems.part_refiner.settings import PartRefinerSettings
from handfirst.training.losses import add_noise
from handfirst.training.models.ddim import ddim, guide
from handfirst.training.systems.part_refiner.networks import Inpainter, PartRefiner
from handfirst.training.systems.part_refiner.tasks import RefineBatch


@torch.no_grad()
def sample_parts(
    model: PartRefiner, batch: RefineBatch, settings: PartRefinerSettings, steps: int, seed: int
) -> Tensor:
    """x_0 [B, C, h, w] of parts drawn from noise by their references; x_0, eps and t of the batch are not read."""
    guidance, rows = settings.defaults.guidance, len(batch.pose)
    context = model.image(torch.cat([torch.zeros_like(batch.picture), batch.picture]))
    pose = torch.cat([batch.pose, batch.pose])
    referenced = torch.cat([torch.zeros_like(batch.referenced), torch.ones_like(batch.referenced)])

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        at = t if settings.reference_timestep == "current" else torch.zeros_like(t)
        banks = model.banks(batch.reference, at, context[rows:], batch.reference_pose)
        both = [torch.cat([bank, bank]) for bank in banks]
        u, c = model(torch.cat([x_t, x_t]), torch.cat([t, t]), context, pose, referenced, both).float().chunk(2)
        return guide(u, c, guidance)

    return ddim(predict, _start(batch.reference, seed), ddim_table(Schedule(settings.schedule), steps, guidance))


@torch.no_grad()
def sample_rings(
    model: Inpainter,
    ring: Tensor,
    masked: Tensor,
    known: Tensor,
    free: Tensor,
    contexts: tuple[Tensor, Tensor],
    settings: PartRefinerSettings,
    steps: int,
    seed: int,
) -> Tensor:
    """x_0 [B, C, h, w] of repainted crops.

    Args:
        ring: what is to be painted [B, 1, h, w].
        masked: latents of the crop with a grey ring [B, C, h, w].
        known: latents of the crop as it was; before every step they stand, freshly noised, where nothing may change.
        free: [B, 1, h, w], 1 where it may.
        contexts: without and with words, [B, L, D] each.
    """
    guidance = settings.defaults.inpaint_guidance
    fresh = torch.Generator().manual_seed(seed + 1)
    both = torch.cat(contexts)
    conditions = torch.cat([torch.cat([ring, ring]), torch.cat([masked, masked])], 1)

    def begin(x_t: Tensor, alpha_bar: float) -> Tensor:
        noise = torch.randn(x_t.shape, generator=fresh).to(x_t.device)
        return torch.where(free > 0, x_t, add_noise(known, noise, torch.full((len(x_t),), alpha_bar).to(x_t)))

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        sample = torch.cat([torch.cat([x_t, x_t]), conditions], 1)
        u, c = model(sample, torch.cat([t, t]), both).float().chunk(2)
        return guide(u, c, guidance)

    table = ddim_table(Schedule(settings.schedule), steps, guidance)
    x_0 = ddim(predict, _start(known, seed), table, begin=begin)
    return torch.where(free > 0, x_0, known)


def _start(like: Tensor, seed: int) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like.device)
