"""The autoencoder, on random crops of hands and people: all of it first; at the end the decoder alone, once more.

The decoder can be polished while the latents, on which the UNets were trained, stay as they are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from handfirst.training.config import PhaseOptions
from handfirst.training.data.arrays import Pictures
from handfirst.training.fit import Phase, autocast, pick_device
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.sheets import to_uint8, write_sheet

CROP = 64
HAND_WEIGHT = 3.0  # errors on a hand count this much more
NOISE = 0.1  # of a latent channel's own std: makes the decoder forgive what diffusion leaves


def autoencoder_phase(
    model: Autoencoder, sources: tuple[Pictures, ...], options: PhaseOptions, seed: int, *, freeze_encoder: bool = False
) -> Phase:
    """L1 + gradient L1, heavier on hands; the first three latent channels are tied to the colours of their cells.

    The tie makes latents smooth and gives a preview without the decoder. Crops alternate between the sources.
    With `freeze_encoder` the latents stay as they are and only the decoder learns.
    """
    model.model.encoder.requires_grad_(not freeze_encoder)

    def losses(module: nn.Module, step: int) -> dict[str, Tensor]:
        assert isinstance(module, Autoencoder)
        rng = np.random.default_rng((seed, int(freeze_encoder), step))
        image, hand = _crops(sources[step % len(sources)], options.batch, rng)
        latent = module.encode(image)
        spread = latent.detach().float().std((0, 2, 3), keepdim=True)
        noise = torch.from_numpy(rng.standard_normal(tuple(latent.shape), dtype=np.float32)).to(image.device)
        decoded = module.decode(latent + NOISE * spread * noise).float()
        weight = 1 + (HAND_WEIGHT - 1) * hand
        out = {"l1": (weight * (decoded - image).abs()).mean(), "gradient": _gradient_l1(decoded, image, weight)}
        if not freeze_encoder:
            colours = F.avg_pool2d(image, CROP // latent.shape[-1])
            out["colour"] = 0.2 * F.mse_loss(latent[:, :3].float(), colours)
        return out

    def sheet(module: nn.Module, file: Path) -> None:
        assert isinstance(module, Autoencoder)
        rows = []
        for source in sources:
            picks = np.linspace(0, len(source) - 1, 8).astype(int)
            image = _to_tensor(source.rgb[picks])
            with torch.no_grad(), autocast(image.device):
                decoded = module.decode(module.encode(image))
            row = np.concatenate([to_uint8(image), to_uint8(decoded)], 1)
            rows.append(np.pad(row, ((0, 0), (0, 0), (0, 192 - row.shape[2]), (0, 0))))
        write_sheet(file, rows)

    return Phase("decoder" if freeze_encoder else "autoencoder", model, losses, sheet, sheet_minutes=4)


def _to_tensor(rgb: NDArray[np.uint8]) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(rgb)).to(pick_device()).permute(0, 3, 1, 2).float()
    return (tensor / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def _crops(source: Pictures, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Random crops: image [B, 3, 64, 64] in [-1, 1] and hand mask [B, 1, 64, 64]."""
    rgb, hand = [], []
    for i in rng.integers(len(source), size=count):
        y, x = rng.integers(0, source.size - CROP + 1, 2)
        rgb.append(source.rgb[i, y : y + CROP, x : x + CROP])
        hand.append(source.hands[i, y : y + CROP, x : x + CROP] > 0)
    mask = torch.from_numpy(np.stack(hand)[:, None].astype(np.float32)).to(pick_device())
    return _to_tensor(np.stack(rgb)), mask


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
        image = _to_tensor(pictures.rgb[i : i + batch])
        with autocast(image.device):
            out.append(model.encode(image).to("cpu", torch.float16))
    return torch.cat(out)


@torch.no_grad()
def reconstruction_psnr(model: Autoencoder, pictures: Pictures, count: int = 64) -> float:
    """PSNR in dB of `count` pictures spread over the set, in 8-bit values."""
    picks = np.linspace(0, len(pictures) - 1, count).astype(int)
    image = _to_tensor(pictures.rgb[picks])
    error = to_uint8(model.decode(model.encode(image))).astype(float) - pictures.rgb[picks]
    return float(10 * np.log10(255**2 / np.mean(error**2)))
