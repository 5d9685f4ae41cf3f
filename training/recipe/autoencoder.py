"""Phase 1: the autoencoder, on crops of hands and people. decoder.py borrows its losses.

Knows nothing about diffusion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from handfirst.training.data.arrays import Pictures
from handfirst.training.loop.feed import Draws, StepFeed
from handfirst.training.loop.journal import to_uint8
from handfirst.training.loop.machine import autocast, pick_device
from handfirst.training.loop.options import LoopOptions
from handfirst.training.loop.task import Task
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.recipe.crops import CROP, CropSource, to_image

DETAIL_WEIGHT = 3.0  # errors on hands and faces count this much more
SQUARE_WEIGHT = 4.0  # of the squared error beside the absolute one: the flat parts settle sooner
TIED = 3  # channels that are tied to their cells' colours,
TIE = 2.0  # times this, so that they spread about as wide as the free ones
# Noise on the latents, uniform up to this level: the decoder forgives what diffusion leaves, and the encoder spreads
# what it says over scales that survive it. Colours need less: their scale is fixed by the tie.
NOISE, TIED_NOISE = 0.3, 0.15
SMALL = 4e-3  # weight of the free channels' mean square: with noise of a fixed level, what keeps them small


@dataclass(frozen=True, eq=False)
class CropBatch:
    """B crops: image [B, 3, CROP, CROP] in [-1, 1]; detail [B, 1, CROP, CROP], 1 where more counts; `draws` for the
    noise on their latents."""

    image: Tensor
    detail: Tensor
    draws: Draws


class AutoencoderTask(Task):
    """Pixel losses, heavier on hands and faces; the first three latent channels are tied to their cells' colours.

    The tie makes latents smooth and gives a preview without the decoder.
    """

    model: Autoencoder

    def __init__(self, model: Autoencoder) -> None:
        super().__init__("autoencoder", model)

    def forward(self, batch: CropBatch) -> dict[str, Tensor]:
        """ "l1", "l2", "gradient" of the pixels, "colour" and "small" of the latents."""
        latent = self.model.encode(batch.image)
        colours = F.avg_pool2d(batch.image, CROP // latent.shape[-1])
        return {
            **pixel_losses(decode_noisy(self.model, latent, batch.draws), batch.image, batch.detail),
            "colour": 0.2 * F.mse_loss(latent[:, :TIED].float() / TIE, colours),
            "small": SMALL * (latent[:, TIED:].float() ** 2).mean(),
        }


def crop_feed(sources: tuple[Pictures, ...], options: LoopOptions) -> StepFeed:
    """Crops of the sources in turn."""
    device = pick_device()
    crops = [CropSource.of(source, device) for source in sources]

    def make(step: int) -> CropBatch:
        draws = Draws(device, options.seed, 0, step)
        return CropBatch(*crops[step % len(crops)].draw(options.batch, draws), draws)

    return StepFeed(make)


def decode_noisy(model: Autoencoder, latent: Tensor, draws: Draws) -> Tensor:
    """Decodes a latent that is a little off, as diffusion will leave it: [B, 3, H, W] in float32."""
    levels = torch.full((latent.shape[1],), NOISE, device=latent.device)
    levels[:TIED] = TIED_NOISE
    level = draws.uniform(0, 1, len(latent), 1, 1, 1) * levels[:, None, None]
    return model.decode(latent + level * draws.normal(*latent.shape)).float()


def pixel_losses(decoded: Tensor, image: Tensor, detail: Tensor) -> dict[str, Tensor]:
    """L1, L2 and the L1 of differences, of [B, 3, H, W]; `detail` [B, 1, H, W] marks what counts more."""
    weight = 1 + (DETAIL_WEIGHT - 1) * detail
    error = decoded - image
    return {
        "l1": (weight * error.abs()).mean(),
        "l2": SQUARE_WEIGHT * (weight * error**2).mean(),
        "gradient": _gradient_l1(decoded, image, weight),
    }


def reconstructions(model: Autoencoder, sources: tuple[Pictures, ...]) -> tuple[NDArray[np.uint8], ...]:
    """For a sheet: eight pictures of each source above what comes back, uint8 [8, S, S, 3], padded to one size."""
    rows, side = [], max(source.size for source in sources)
    for source in sources:
        image = images(source, np.linspace(0, len(source) - 1, 8).astype(int))
        decoded = model.decode(model.encode(image))
        for row in (to_uint8(image), to_uint8(decoded)):
            gap = side - row.shape[2]
            rows.append(np.pad(row, ((0, 0), (0, 0), (0, gap), (0, 0))))
    return tuple(rows)


def images(pictures: Pictures, picks: slice | NDArray[np.int64]) -> Tensor:
    """Some of the pictures, [N, 3, S, S] in [-1, 1] on the device."""
    return to_image(torch.from_numpy(np.ascontiguousarray(pictures.rgb[picks])).to(pick_device()))


def _gradient_l1(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    across = (weight[..., 1:] * (a.diff(dim=-1) - b.diff(dim=-1)).abs()).mean()
    down = (weight[..., 1:, :] * (a.diff(dim=-2) - b.diff(dim=-2)).abs()).mean()
    return across + down


@torch.no_grad()
def encode_pictures(model: Autoencoder, pictures: Pictures, batch: int = 64) -> Tensor:
    """Raw latents float16 [2N, C, h, w] of all pictures, on the CPU."""
    model.eval()
    out = []
    for i in range(0, len(pictures), batch):
        image = images(pictures, slice(i, i + batch))
        with autocast(image.device):
            out.append(model.encode(image).to("cpu", torch.float16))
    return torch.cat(out)
