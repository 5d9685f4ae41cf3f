"""Phase 1: the autoencoder, on crops of hands and people. decoder_training.py borrows its losses.

Knows nothing about diffusion.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from handfirst.training.crops import CROP, CropSource, to_image
from handfirst.training.data.arrays import Pictures
from handfirst.training.draws import Draws
from handfirst.training.fit import Phase, autocast, pick_device
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.sheets import to_uint8, write_sheet
from handfirst.training.systems.two_stage.options import PhaseOptions

DETAIL_WEIGHT = 3.0  # errors on hands and faces count this much more
SQUARE_WEIGHT = 4.0  # of the squared error beside the absolute one: the flat parts settle sooner
TIED = 3  # channels that are tied to their cells' colours,
TIE = 2.0  # times this, so that they spread about as wide as the free ones
# Noise on the latents, uniform up to this level: the decoder forgives what diffusion leaves, and the encoder spreads
# what it says over scales that survive it. Colours need less: their scale is fixed by the tie.
NOISE, TIED_NOISE = 0.3, 0.15
SMALL = 4e-3  # weight of the free channels' mean square: with noise of a fixed level, what keeps them small


def autoencoder_phase(model: Autoencoder, sources: tuple[Pictures, ...], options: PhaseOptions, seed: int) -> Phase:
    """Pixel losses, heavier on hands and faces; the first three latent channels are tied to their cells' colours.

    The tie makes latents smooth and gives a preview without the decoder. Crops alternate between the sources.
    """
    device = pick_device()
    crops = [CropSource.of(source, device) for source in sources]

    def losses(module: nn.Module, step: int) -> dict[str, Tensor]:
        assert isinstance(module, Autoencoder)
        draws = Draws(device, seed, 0, step)
        image, detail = crops[step % len(crops)].draw(options.batch, draws)
        latent = module.encode(image)
        colours = F.avg_pool2d(image, CROP // latent.shape[-1])
        return {
            **pixel_losses(decode_noisy(module, latent, draws), image, detail),
            "colour": 0.2 * F.mse_loss(latent[:, :TIED].float() / TIE, colours),
            "small": SMALL * (latent[:, TIED:].float() ** 2).mean(),
        }

    return Phase("autoencoder", model, losses, lambda module, file: draw_sheet(module, sources, file), sheet_minutes=15)


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


def draw_sheet(module: nn.Module, sources: tuple[Pictures, ...], file: Path) -> None:
    """Eight pictures of each source above their reconstructions."""
    assert isinstance(module, Autoencoder)
    rows, side = [], max(source.size for source in sources)
    for source in sources:
        image = images(source, np.linspace(0, len(source) - 1, 8).astype(int))
        with torch.no_grad(), autocast(image.device):
            decoded = module.decode(module.encode(image))
        for row in (to_uint8(image), to_uint8(decoded)):
            gap = side - row.shape[2]
            rows.append(np.pad(row, ((0, 0), (0, 0), (0, gap), (0, 0))))
    write_sheet(file, rows)


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
