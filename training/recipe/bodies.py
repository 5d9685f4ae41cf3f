"""Phase 4: the base UNet with its ControlNet, trained as they are served.

There is no pretrained base to start from, so one phase makes both: the residuals are dropped for some samples, so that
the UNet also stands alone. What it sees at t is what the sampler has there: the canvas blended into the cells that the
mask of that step keeps (paper, section III-C). The loss counts every cell, not only those to be painted: a cell that
leaves the shrinking mask goes on from what was predicted for it while it was kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handfirst.engines.files import atomic_path
from handfirst.runtime.diffusion.masks import kept_radii
from handfirst.runtime.pose.skeleton import draw_skeleton
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.data.arrays import Pictures
from handfirst.training.data.workers import spread
from handfirst.training.loop.feed import Draws, StepFeed
from handfirst.training.loop.machine import autocast, pick_device
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.ddim import Kept
from handfirst.training.models.encoders import normalise
from handfirst.training.recipe.pool import Pool, to_pictures
from handfirst.training.systems.two_stage.body_outpainter import BodyOutpainter
from handfirst.training.systems.two_stage.conditions import cell_reach, hands_alone, to_pose
from handfirst.training.systems.two_stage.options import BodyPhase
from handfirst.training.systems.two_stage.sampling import sample_bodies
from handfirst.training.systems.two_stage.stages import hint
from handfirst.training.systems.two_stage.tasks import BodyBatch

SHEET_STEPS = 12


@dataclass(frozen=True)
class BodyData(Pool):
    """People, with canvases float16 [N, C, h, w] (hands alone on grey, encoded), skeletons uint8 [N, H, W, 3], hands
    uint8 [N, H, W] and reach float16 [N, h, w] (`cell_reach`)."""

    canvases: Tensor
    skeletons: Tensor
    hands: Tensor
    reach: Tensor

    def chosen(self, i: Tensor) -> BodyData:
        """The people i, int64 [B]."""
        return BodyData(
            latents=self.latents[i],
            canvases=self.canvases[i],
            skeletons=self.skeletons[i],
            hands=self.hands[i],
            reach=self.reach[i],
            contexts=self.contexts[:, i],
            empty=self.empty,
        )


def one_skeleton(keypoints: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """keypoints [133, 3] -> the runtime's skeleton picture, uint8 [size, size, 3]."""
    return draw_skeleton(to_pose(keypoints, size), size, size)


def draw_skeletons(pictures: Pictures, file: Path, workers: int) -> Tensor:
    """The runtime's skeleton pictures of all people, uint8 [N, H, W, 3]; drawn once, memory-mapped afterwards."""
    if not file.exists():
        drawn = np.stack(list(spread(partial(one_skeleton, size=pictures.size), pictures.keypoints, workers)))
        with atomic_path(file) as temporary, temporary.open("wb") as out:
            np.save(out, drawn)
    return torch.from_numpy(np.load(file, mmap_mode="c"))


def measure_reach(pictures: Pictures, settings: TwoStageSettings) -> Tensor:
    """`cell_reach` of all people's hands, float16 [N, h, w]."""
    return torch.from_numpy(np.stack([cell_reach(hands > 0, settings) for hands in pictures.hands])).half()


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


def kept_at(data: BodyData, i: Tensor, radius: Tensor) -> Tensor:
    """The cells of the people i that are kept with a radius each: bool [B, 1, h, w]."""
    return data.reach[i][:, None] <= radius[:, None, None, None]


def body_feed(data: BodyData, settings: TwoStageSettings, options: BodyPhase) -> StepFeed:
    """One random step t per sample, its cells kept as the sampler keeps them there; hints dropped now and then."""
    device = pick_device()
    data = data.to(device)
    shorter, steps = min(settings.body.height, settings.body.width), settings.schedule.train_steps
    radius_at = torch.from_numpy(kept_radii(steps, settings.body, shorter)[::-1].copy()).half().to(device)

    def make(step: int) -> BodyBatch:
        draws, count = Draws(device, options.seed, 6, step), options.batch
        i, t = draws.integers(len(data.latents), count), draws.integers(steps, count)
        context = data.texts(i, draws, options.text_dropout)
        x_0 = data.latents[i].float()
        return BodyBatch(
            x_0=x_0,
            eps=draws.normal(*x_0.shape),
            t=t,
            context=context,
            hint=hint(data.skeletons[i], data.hands[i]),
            canvas=data.canvases[i].float(),
            kept=kept_at(data, i, radius_at[t]),
            strength=(~draws.chance(options.hint_dropout, count)).float(),
        )

    return StepFeed(make)


def body_sheet(
    model: BodyOutpainter, data: BodyData, autoencoder: Autoencoder, settings: TwoStageSettings, seed: int
) -> tuple[NDArray[np.uint8], ...]:
    """Skeletons of eight people, the people painted around their hands, and what is true."""
    picks = torch.linspace(0, len(data.latents) - 1, 8).long()
    few = data.chosen(picks).to(pick_device())
    drawn = to_pictures(autoencoder, paint(model, few, settings, SHEET_STEPS, seed), settings.latent)
    return data.skeletons[picks].numpy(), drawn, to_pictures(autoencoder, few.latents, settings.latent)


def paint(model: BodyOutpainter, data: BodyData, settings: TwoStageSettings, steps: int, seed: int) -> Tensor:
    """All of `data`, painted around their true hands, the kept region shrinking as at run time: x_0 [B, C, h, w]."""
    shorter = min(settings.body.height, settings.body.width)
    radii = torch.from_numpy(kept_radii(steps, settings.body, shorter)).to(data.reach)
    cells = data.reach[:, None] <= radii[None, :, None, None]
    return sample_bodies(
        model, hint(data.skeletons, data.hands), data.contexts[0].float(), data.empty.float(), settings, steps,
        settings.defaults.guidance, seed, Kept(data.canvases.float(), cells),
    )  # fmt: skip
