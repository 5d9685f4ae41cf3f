"""Phase 3: the hand generator, noise loss and mask loss together (paper, section III-B, eq. 5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.batches import HandBatch, Noising, hand_losses
from handfirst.training.conditions import hand_condition
from handfirst.training.config import PhaseOptions
from handfirst.training.data.arrays import Pictures
from handfirst.training.fit import Phase, autocast, pick_device
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.hand_generator import HandGenerator
from handfirst.training.sampling import denormalise, sample_hands
from handfirst.training.sheets import to_uint8, write_sheet


@dataclass(frozen=True)
class HandData:
    """What the phase indexes: latents f16 [N, C, h, w] (standardised), conditions f16 [N, K', h, w] with the mask
    channels filled, masks uint8 [N, S, S], contexts f16 [V, N, L, D], the empty prompt's context f16 [L, D]."""

    latents: Tensor
    conditions: Tensor
    masks: Tensor
    contexts: Tensor
    empty: Tensor


def _one_condition(
    item: tuple[NDArray[np.float32], NDArray[np.bool_]], settings: TwoStageSettings
) -> NDArray[np.float16]:
    return hand_condition(item[0], item[1], settings).astype(np.float16)


def draw_conditions(pictures: Pictures, settings: TwoStageSettings, workers: int) -> Tensor:
    """c_p of all pictures, mask channels included: float16 [N, K', h, w]."""
    items = ((pictures.keypoints[i], pictures.hands[i] > 0) for i in range(len(pictures)))
    with get_context("spawn").Pool(workers) as pool:
        maps = pool.imap(partial(_one_condition, settings=settings), items, chunksize=64)
        return torch.from_numpy(np.stack(list(maps)))


def hand_phase(
    model: HandGenerator,
    data: HandData,
    autoencoder: Autoencoder,
    settings: TwoStageSettings,
    options: PhaseOptions,
    seed: int,
) -> Phase:
    """Noise loss on the latent and `mask_weight` x MSE of the mask, on one random step t per sample."""
    device = pick_device()
    noising = Noising(settings.schedule, options.snr_cap).to(device)
    mask_channels = slice(10 * settings.hand.condition.fold**2, settings.condition_channels)

    def losses(module: nn.Module, step: int) -> dict[str, Tensor]:
        assert isinstance(module, HandGenerator)
        rng = np.random.default_rng((seed, 5, step))
        count = options.batch
        i = torch.from_numpy(rng.integers(len(data.latents), size=count))
        t = torch.from_numpy(rng.integers(settings.schedule.train_steps, size=count))
        x_0, c_p = data.latents[i].float(), data.conditions[i].float()
        c_p[torch.from_numpy(rng.random(count) < options.mask_dropout), mask_channels] = 0
        context = data.contexts[int(rng.integers(len(data.contexts))), i].float()
        context[torch.from_numpy(rng.random(count) < options.text_dropout)] = data.empty.float()
        eps = torch.from_numpy(rng.standard_normal(tuple(x_0.shape), dtype=np.float32))
        mask = (data.masks[i] > 0).float()[:, None]
        parts = (x.to(device) for x in (x_0, eps, t, c_p, context, mask))
        return hand_losses(module, HandBatch(*parts), noising, options.mask_weight)

    def sheet(module: nn.Module, file: Path) -> None:
        assert isinstance(module, HandGenerator)
        picks = torch.linspace(0, len(data.latents) - 1, 12).long()
        c_p = data.conditions[picks].float()
        c_p[:, mask_channels] = 0
        with torch.no_grad(), autocast(device):
            x_0, mask = sample_hands(
                module, c_p.to(device), data.contexts[0, picks].float().to(device), data.empty.float().to(device),
                settings, steps=10, guidance=1.5, seed=seed,
            )  # fmt: skip
            drawn = autoencoder.decode(denormalise(x_0, settings.latent))
            true = autoencoder.decode(denormalise(data.latents[picks].float().to(device), settings.latent))
        predicted = (mask[:, 0].float().clamp(0, 1) * 255).byte().cpu().numpy()
        write_sheet(file, [to_uint8(drawn), predicted, to_uint8(true)])

    return Phase("hand", model, losses, sheet)
