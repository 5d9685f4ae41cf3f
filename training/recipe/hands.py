"""Phase 3: the hand generator, noise loss and mask loss together (paper, section III-B, eq. 5), from arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.data.arrays import Pictures
from handfirst.training.data.workers import spread
from handfirst.training.loop.feed import Draws, StepFeed
from handfirst.training.loop.machine import pick_device
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.recipe.pool import Pool, to_pictures
from handfirst.training.systems.two_stage.conditions import hand_condition
from handfirst.training.systems.two_stage.hand_generator import HandGenerator
from handfirst.training.systems.two_stage.options import HandPhase
from handfirst.training.systems.two_stage.sampling import sample_hands
from handfirst.training.systems.two_stage.tasks import HandBatch


@dataclass(frozen=True)
class HandData(Pool):
    """Hands, with conditions float16 [N, K', h, w] whose mask channels are filled, and masks uint8 [N, S, S]."""

    conditions: Tensor
    masks: Tensor


def _one_condition(
    item: tuple[NDArray[np.float32], NDArray[np.bool_]], settings: TwoStageSettings
) -> NDArray[np.float16]:
    return hand_condition(item[0], item[1], settings).astype(np.float16)


def draw_conditions(pictures: Pictures, settings: TwoStageSettings, workers: int) -> Tensor:
    """c_p of all pictures, mask channels included: float16 [N, K', h, w]."""
    items = ((pictures.keypoints[i], pictures.hands[i] > 0) for i in range(len(pictures)))
    return torch.from_numpy(np.stack(list(spread(partial(_one_condition, settings=settings), items, workers))))


def without_mask(c_p: Tensor, settings: TwoStageSettings, where: Tensor | None = None) -> Tensor:
    """c_p [B, K', h, w] with its mask channels zero, in the samples `where` (bool [B]) or in all; a copy."""
    channels = slice(10 * settings.hand.condition.fold**2, settings.condition_channels)
    kept = torch.zeros(len(c_p), device=c_p.device) if where is None else (~where).float()
    c_p = c_p.float()
    return torch.cat([c_p[:, : channels.start], c_p[:, channels] * kept[:, None, None, None]], 1)


def hand_feed(data: HandData, settings: TwoStageSettings, options: HandPhase) -> StepFeed:
    """One random step t per sample; masks and texts dropped now and then."""
    device = pick_device()
    data = data.to(device)

    def make(step: int) -> HandBatch:
        draws, count = Draws(device, options.seed, 5, step), options.batch
        i = draws.integers(len(data.latents), count)
        context = data.texts(i, draws, options.text_dropout)
        x_0 = data.latents[i].float()
        return HandBatch(
            x_0=x_0,
            eps=draws.normal(*x_0.shape),
            t=draws.integers(settings.schedule.train_steps, count),
            c_p=without_mask(data.conditions[i], settings, draws.chance(options.mask_dropout, count)),
            context=context,
            mask=(data.masks[i] > 0).float()[:, None],
        )

    return StepFeed(make)


def hand_sheet(
    model: HandGenerator, data: HandData, autoencoder: Autoencoder, settings: TwoStageSettings, seed: int
) -> tuple[NDArray[np.uint8], ...]:
    """Twelve hands drawn from their key points, their masks, and what is true."""
    picks = torch.linspace(0, len(data.latents) - 1, 12).long()
    device = pick_device()
    x_0, mask = sample_hands(
        model, without_mask(data.conditions[picks].to(device), settings), data.contexts[0, picks].float().to(device),
        data.empty.float().to(device), settings, steps=10, guidance=1.5, seed=seed,
    )  # fmt: skip
    drawn = to_pictures(autoencoder, x_0, settings.latent)
    true = to_pictures(autoencoder, data.latents[picks].to(device), settings.latent)
    predicted = (mask[:, 0].float().clamp(0, 1) * 255).byte().cpu().numpy()
    return drawn, predicted, true
