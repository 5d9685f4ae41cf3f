"""Both stages as tasks: what a batch is, and its losses; written once, for the recipe's arrays and for shards.

Source: the paper, sections III-B (eq. 5, 8, 9) and III-C. Knows nothing about where a batch comes from or about
optimizers; everything random in it was drawn before.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handfirst.runtime.systems.two_stage.settings import BodySettings, TwoStageSettings
from handfirst.training.loop.task import Task
from handfirst.training.losses import Noising, add_noise, mask_loss, noise_loss
from handfirst.training.systems.two_stage.body_outpainter import BodyOutpainter
from handfirst.training.systems.two_stage.hand_generator import HandGenerator
from handfirst.training.systems.two_stage.options import HandTerms, StageTerms


@dataclass(frozen=True, eq=False)
class HandBatch:
    """Stage 1, B crops on one device.

    Attributes:
        x_0: standardised latents [B, C, h, w].
        eps: the noise, standard normal [B, C, h, w].
        t: int64 [B] in 0 .. T - 1.
        c_p: the key-point condition [B, K', h, w], its mask channels zero where they were dropped.
        context: [B, L, D], the empty prompt's where the text was dropped.
        mask: the true hand mask [B, 1, H, W], 0 or 1.
    """

    x_0: Tensor
    eps: Tensor
    t: Tensor
    c_p: Tensor
    context: Tensor
    mask: Tensor


@dataclass(frozen=True, eq=False)
class BodyBatch:
    """Stage 2, B canvases on one device.

    Attributes:
        x_0, eps, t, context: as in HandBatch, of the whole picture.
        hint: [B, 4, H, W], skeleton RGB in [0, 1] and the area to paint.
        canvas: x_c [B, C, h, w], the latents of the hands alone on the uniform background; None: nothing is blended.
        kept: bool [B, 1, h, w], the cells that are blended (paper, eq. 11).
        region: bool [B, 1, h, w], the cells whose loss counts; None: all.
        strength: [B] or None: factor on the ControlNet's residuals.
    """

    x_0: Tensor
    eps: Tensor
    t: Tensor
    context: Tensor
    hint: Tensor
    canvas: Tensor | None = None
    kept: Tensor | None = None
    region: Tensor | None = None
    strength: Tensor | None = None


class HandTask(Task):
    """Stage 1, the hand generator."""

    model: HandGenerator

    def __init__(self, model: HandGenerator, settings: TwoStageSettings, terms: HandTerms) -> None:
        super().__init__("hand", model)
        self.noising = Noising(settings.schedule, terms.snr_cap)
        self.terms = terms

    def forward(self, batch: HandBatch) -> dict[str, Tensor]:
        """ "noise" and "mask"."""
        return hand_losses(self.model, batch, self.noising, self.terms.mask_weight)


class BodyTask(Task):
    """Stage 2, the base UNet and its ControlNet, of which either may be frozen."""

    model: BodyOutpainter

    def __init__(self, model: BodyOutpainter, settings: TwoStageSettings, terms: StageTerms) -> None:
        super().__init__("body", model)
        self.noising = Noising(settings.schedule, terms.snr_cap)
        self.settings = settings.body

    def forward(self, batch: BodyBatch) -> dict[str, Tensor]:
        """ "noise", inside the batch's region."""
        return body_losses(self.model, batch, self.noising, self.settings)


def hand_losses(model: HandGenerator, batch: HandBatch, noising: Noising, mask_weight: float) -> dict[str, Tensor]:
    """ "noise": L_LDM; "mask": lambda x MSE of the mask head, both at the same random step t per sample."""
    x_t = add_noise(batch.x_0, batch.eps, noising.at(batch.t))
    sample = torch.cat([x_t, batch.c_p], 1).contiguous(memory_format=torch.channels_last)
    prediction, feature = model(sample, batch.t, batch.context)
    wanted = noising.target(batch.x_0, batch.eps, batch.t)
    return {
        "noise": noise_loss(prediction, wanted, noising.weight(batch.t)),
        "mask": mask_weight * mask_loss(model.mask(feature), batch.mask),
    }


def body_losses(model: BodyOutpainter, batch: BodyBatch, noising: Noising, settings: BodySettings) -> dict[str, Tensor]:
    """ "noise": the L2 inside the batch's region, after the kept cells were blended in."""
    prediction = model(
        blended(batch, noising, settings).contiguous(memory_format=torch.channels_last), batch.t, batch.context,
        batch.hint.contiguous(memory_format=torch.channels_last), batch.strength,
    )  # fmt: skip
    wanted = noising.target(batch.x_0, batch.eps, batch.t)
    region = None if batch.region is None else batch.region.to(wanted.dtype)
    return {"noise": noise_loss(prediction, wanted, noising.weight(batch.t), region)}


def blended(batch: BodyBatch, noising: Noising, settings: BodySettings) -> Tensor:
    """x_t [B, C, h, w] as the sampler sees it: the canvas inside `kept`, noised to t or clean, the picture outside.

    The canvas is noised with the picture's own eps, as the sampler's fixed eps_0 is its starting noise (A6.8).
    """
    a = noising.at(batch.t)
    x_t = add_noise(batch.x_0, batch.eps, a)
    if batch.kept is None or batch.canvas is None:
        return x_t
    known = add_noise(batch.canvas, batch.eps, a) if settings.blend_source == "noised" else batch.canvas
    return torch.where(batch.kept, known, x_t)
