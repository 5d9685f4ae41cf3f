"""Phases 4 and 5: the base UNet with its ControlNet, then the ControlNet alone as the paper trains it.

There is no pretrained base to start from, so phase "base" makes one: UNet and ControlNet together, the residuals
dropped for some samples so that the UNet also stands alone. Phase "body" freezes the base and trains the ControlNet
on blended latents with the masked L2 (paper, section III-C).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from handfirst.engines.files import atomic_path
from handfirst.runtime.pose.skeleton import draw_skeleton
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.batches import BodyBatch, Noising, body_losses
from handfirst.training.conditions import hands_alone, to_pose
from handfirst.training.config import PhaseOptions
from handfirst.training.data.arrays import Pictures
from handfirst.training.fit import Phase, autocast, pick_device
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.body_outpainter import BodyOutpainter
from handfirst.training.sampling import denormalise, normalise, sample_bodies
from handfirst.training.sheets import to_uint8, write_sheet


@dataclass(frozen=True)
class BodyData:
    """What the phases index: latents f16 [N, C, h, w], canvases f16 [N, C, h, w] (hands alone on grey, encoded),
    skeletons uint8 [N, H, W, 3], hands uint8 [N, H, W], contexts f16 [V, N, L, D], empty f16 [L, D]."""

    latents: Tensor
    canvases: Tensor
    skeletons: NDArray[np.uint8]
    hands: NDArray[np.uint8]
    contexts: Tensor
    empty: Tensor


def _one_skeleton(keypoints: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    return draw_skeleton(to_pose(keypoints, size), size, size)


def draw_skeletons(pictures: Pictures, file: Path, workers: int) -> NDArray[np.uint8]:
    """The runtime's skeleton pictures of all people, uint8 [N, H, W, 3]; drawn once, memory-mapped afterwards."""
    if not file.exists():
        with get_context("spawn").Pool(workers) as pool:
            draw = partial(_one_skeleton, size=pictures.size)
            drawn = np.stack(list(pool.imap(draw, list(pictures.keypoints), chunksize=64)))
        with atomic_path(file) as temporary, temporary.open("wb") as out:
            np.save(out, drawn)
    skeletons: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    return skeletons


def encode_canvases(model: Autoencoder, pictures: Pictures, settings: TwoStageSettings, batch: int = 64) -> Tensor:
    """Standardised latents of the hands cut from the true picture onto the uniform background (paper, III-C)."""
    out = []
    for i in range(0, len(pictures), batch):
        kept = pictures.hands[i : i + batch] > 0
        canvas = hands_alone(pictures.rgb[i : i + batch], kept, settings.body).astype(np.float32)
        image = torch.from_numpy(canvas).to(pick_device()).permute(0, 3, 1, 2) / 127.5 - 1
        with torch.no_grad(), autocast(image.device):
            out.append(normalise(model.encode(image).float(), settings.latent).to("cpu", torch.float16))
    return torch.cat(out)


def hint_of(data: BodyData, picks: NDArray[np.int64]) -> Tensor:
    """The ControlNet's hint of some people, [B, 4, H, W]: skeleton RGB in [0, 1], 1 where is to be painted."""
    skeleton = torch.from_numpy(data.skeletons[picks]).permute(0, 3, 1, 2).float() / 255
    paint = torch.from_numpy((data.hands[picks] == 0)[:, None].astype(np.float32))
    return torch.cat([skeleton, paint], 1)


def body_phase(
    model: BodyOutpainter,
    data: BodyData,
    autoencoder: Autoencoder,
    settings: TwoStageSettings,
    options: PhaseOptions,
    seed: int,
    *,
    freeze_base: bool,
) -> Phase:
    """`freeze_base` False: phase "base" (plain noise loss); True: phase "body" (blended latents, masked loss)."""
    device = pick_device()
    noising = Noising(settings.schedule, options.snr_cap).to(device)
    model.unet.requires_grad_(not freeze_base)
    name = "body" if freeze_base else "base"

    def losses(module: nn.Module, step: int) -> dict[str, Tensor]:
        assert isinstance(module, BodyOutpainter)
        rng = np.random.default_rng((seed, 6 + freeze_base, step))
        count = options.batch
        picks = rng.integers(len(data.latents), size=count)
        i = torch.from_numpy(picks)
        t = torch.from_numpy(rng.integers(settings.schedule.train_steps, size=count))
        x_0, hint = data.latents[i].float(), hint_of(data, picks)
        context = data.contexts[int(rng.integers(len(data.contexts))), i].float()
        context[torch.from_numpy(rng.random(count) < options.text_dropout)] = data.empty.float()
        eps = torch.from_numpy(rng.standard_normal(tuple(x_0.shape), dtype=np.float32))
        x_0, eps, t, context, hint = (x.to(device) for x in (x_0, eps, t, context, hint))
        batch = BodyBatch(x_0, eps, t, context, hint)
        if freeze_base:
            kept = F.avg_pool2d(1 - hint[:, 3:], settings.latent.factor) > 0.5
            batch = replace(batch, canvas=data.canvases[i].float().to(device), kept=kept)
        else:
            strength = torch.from_numpy((rng.random(count) >= options.hint_dropout).astype(np.float32))
            batch = replace(batch, strength=strength.to(device))
        return body_losses(module, batch, noising, settings.body)

    def sheet(module: nn.Module, file: Path) -> None:
        assert isinstance(module, BodyOutpainter)
        picks = np.linspace(0, len(data.latents) - 1, 8).astype(np.int64)
        hint = hint_of(data, picks).to(device)
        with torch.no_grad(), autocast(device):
            x_0 = sample_bodies(
                module, hint, data.contexts[0, picks].float().to(device), data.empty.float().to(device),
                settings, steps=12, guidance=2.0, seed=seed,
            )  # fmt: skip
            drawn = autoencoder.decode(denormalise(x_0, settings.latent))
            true = autoencoder.decode(denormalise(data.latents[picks].float().to(device), settings.latent))
        write_sheet(file, [np.asarray(data.skeletons[picks]), to_uint8(drawn), to_uint8(true)])

    return Phase(name, model, losses, sheet)
