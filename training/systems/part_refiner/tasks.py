"""Both stages as tasks: what a batch is, and its loss. Source: RealisHuman, section 3, and its released training.

Knows nothing about where a batch comes from or about optimizers; everything random in it was drawn before.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handfirst.runtime.systems.part_refiner.settings import PartRefinerSettings
from handfirst.training.loop.task import Task
from handfirst.training.losses import Noising, add_noise, noise_loss
from handfirst.training.systems.part_refiner.networks import Inpainter, PartRefiner
from handfirst.training.systems.part_refiner.options import RefinerOptions


@dataclass(frozen=True, eq=False)
class RefineBatch:
    """Stage 1, B pairs on one device.

    Attributes:
        x_0: standardised latents of the part [B, C, h, w].
        eps: the noise, standard normal [B, C, h, w].
        t: int64 [B] in 0 .. T - 1.
        pose: the part's pose picture [B, 3, H, W] in [0, 1].
        reference: standardised latents of the reference [B, C, h, w].
        reference_pose: [B, 3, H, W].
        picture: the reference as the image encoder takes it [B, 3, S, S], zeros where it was dropped.
        referenced: [B], 0 where the reference was dropped, else 1.
    """

    x_0: Tensor
    eps: Tensor
    t: Tensor
    pose: Tensor
    reference: Tensor
    reference_pose: Tensor
    picture: Tensor
    referenced: Tensor


@dataclass(frozen=True, eq=False)
class InpaintBatch:
    """Stage 2, B crops on one device.

    Attributes:
        x_0, eps, t: as in RefineBatch, of the whole crop.
        ring: what is to be painted, [B, 1, h, w], 0 or 1.
        masked: standardised latents of the crop with a grey ring [B, C, h, w].
        context: [B, L, D]; None: the model's own, where `told`, else zeros.
        told: bool [B].
    """

    x_0: Tensor
    eps: Tensor
    t: Tensor
    ring: Tensor
    masked: Tensor
    context: Tensor | None
    told: Tensor


class RefineTask(Task):
    """Stage 1."""

    model: PartRefiner

    def __init__(self, model: PartRefiner, settings: PartRefinerSettings, options: RefinerOptions) -> None:
        super().__init__("refine", model)
        self.noising = Noising(settings.schedule, options.snr_cap, options.min_snr)
        self.current = settings.reference_timestep == "current"

    def forward(self, batch: RefineBatch) -> dict[str, Tensor]:
        """ "noise"."""
        model, t = self.model, batch.t
        context = model.image(batch.picture)
        banks = model.banks(batch.reference, t if self.current else torch.zeros_like(t), context, batch.reference_pose)
        x_t = add_noise(batch.x_0, batch.eps, self.noising.at(t))
        prediction = model(x_t, t, context, batch.pose, batch.referenced, banks)
        wanted = self.noising.target(batch.x_0, batch.eps, t)
        return {"noise": noise_loss(prediction, wanted, self.noising.weight(t))}


class InpaintTask(Task):
    """Stage 2."""

    model: Inpainter

    def __init__(self, model: Inpainter, settings: PartRefinerSettings, options: RefinerOptions) -> None:
        super().__init__("inpaint", model)
        self.noising = Noising(settings.schedule, options.snr_cap, options.min_snr)

    def forward(self, batch: InpaintBatch) -> dict[str, Tensor]:
        """ "noise", of the whole crop as it is released: what is known lies in the input, and is soon learnt."""
        x_t = add_noise(batch.x_0, batch.eps, self.noising.at(batch.t))
        sample = torch.cat([x_t, batch.ring, batch.masked], 1)
        context = told(self.model, batch.told) if batch.context is None else batch.context
        prediction = self.model(sample, batch.t, context)
        wanted = self.noising.target(batch.x_0, batch.eps, batch.t)
        return {"noise": noise_loss(prediction, wanted, self.noising.weight(batch.t))}


def told(model: Inpainter, rows: Tensor) -> Tensor:
    """The model's own context where `rows`, bool [B], is True, else zeros: [B, L, D]."""
    assert model.context is not None
    return model.context * rows[:, None, None]
