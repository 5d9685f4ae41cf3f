"""Phase 1: the autoencoder, on crops of hands and people; and how faithful it is, part by part.

What it loses no later phase brings back: a face that it cannot carry is blank in every picture. So a gate says whether
it is good enough to begin the long phases. decoder.py borrows its losses. Knows nothing about diffusion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from handfirst.runtime.pose.crop import hand_box
from handfirst.training.data.arrays import Pictures
from handfirst.training.loop.feed import Draws, StepFeed
from handfirst.training.loop.journal import to_uint8
from handfirst.training.loop.machine import autocast, pick_device
from handfirst.training.loop.options import LoopOptions
from handfirst.training.loop.task import Task
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.recipe.crops import CROP, FACE, CropSource, to_image
from handfirst.training.systems.two_stage.config import Gate

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


LEFT_HAND, RIGHT_HAND = slice(91, 112), slice(112, 133)
Figures = dict[str, float]
Rgb = NDArray[np.uint8]
Codec = Callable[[Rgb], Rgb]


def fidelity(there_and_back: Codec, hands: Pictures, people: Pictures, batch: int = 16) -> Figures:
    """PSNR in dB of what comes back, in 8-bit values over all pixels of a kind.

    Args:
        there_and_back: uint8 [B, H, W, 3] -> the same, encoded and decoded.

    Returns:
        "hands", "people": whole pictures; "face", "hand": the boxes of people's faces and hands.
    """
    errors = {
        "hands": _squared_errors(there_and_back, hands, batch),
        "people": _squared_errors(there_and_back, people, batch),
    }
    whole = {name: _psnr([error]) for name, error in errors.items()}
    parts: dict[str, list[NDArray[np.float64]]] = {"face": [], "hand": []}
    for points, error in zip(people.keypoints, errors["people"], strict=True):
        for name, part in (("face", FACE), ("hand", LEFT_HAND), ("hand", RIGHT_HAND)):
            known = points[part][points[part, 2] > 0, :2]
            if len(known):
                x0, y0, x1, y1 = np.clip(np.rint(hand_box(known.astype(np.float64))), 0, people.size).astype(int)
                parts[name].append(error[y0:y1, x0:x1])
    return {**whole, **{name: _psnr(errors) for name, errors in parts.items()}}


def codec_of(model: Autoencoder) -> Codec:
    """Encodes and decodes with a torch model in float32."""

    @torch.no_grad()
    def there_and_back(rgb: Rgb) -> Rgb:
        image = to_image(torch.from_numpy(np.ascontiguousarray(rgb)).to(pick_device()))
        return to_uint8(model.decode(model.encode(image)))

    model.eval()
    return there_and_back


def _squared_errors(there_and_back: Codec, pictures: Pictures, batch: int) -> NDArray[np.float64]:
    """Squared errors [N, H, W, 3] of 8-bit values."""
    parts = (pictures.rgb[i : i + batch] for i in range(0, len(pictures), batch))
    return np.concatenate([(there_and_back(rgb).astype(np.float64) - rgb) ** 2 for rgb in parts])


def _psnr(squared_errors: list[NDArray[np.float64]]) -> float:
    total, count = sum(float(e.sum()) for e in squared_errors), sum(e.size for e in squared_errors)
    return round(float(10 * np.log10(255**2 * count / max(total, 1e-9))), 2) if count else float("nan")


def shortfalls(figures: Figures, gate: Gate) -> list[str]:
    """What is missed, in words; empty where the gate is passed."""
    missed = []
    if not figures["people"] >= gate.people_db:
        missed.append(f"people {figures['people']} dB, needed {gate.people_db}")
    if figures["face"] < figures["hand"] - gate.face_below_hand_db:
        missed.append(
            f"faces {figures['face']} dB, needed {figures['hand'] - gate.face_below_hand_db:.2f} "
            f"({gate.face_below_hand_db} below their hands)"
        )
    return missed
