"""Phase 1: the autoencoder, on crops of hands and people. decoder_training.py borrows its crops and losses.

Knows nothing about diffusion.
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
DETAIL_WEIGHT = 3.0  # errors on hands and faces count this much more
FACE = slice(23, 91)  # of the 133 points
AT_FACE = 0.6  # share of the crops that look at the face, where there is one: it is small and people look there first
NOISE = 0.1  # of a latent channel's own std: makes the decoder forgive what diffusion leaves


def autoencoder_phase(model: Autoencoder, sources: tuple[Pictures, ...], options: PhaseOptions, seed: int) -> Phase:
    """L1 + gradient L1, heavier on hands and faces; the first three latent channels are tied to their cells' colours.

    The tie makes latents smooth and gives a preview without the decoder. Crops alternate between the sources.
    """

    def losses(module: nn.Module, step: int) -> dict[str, Tensor]:
        assert isinstance(module, Autoencoder)
        rng = np.random.default_rng((seed, 0, step))
        image, detail = crops(sources[step % len(sources)], options.batch, rng)
        latent = module.encode(image)
        colours = F.avg_pool2d(image, CROP // latent.shape[-1])
        return {
            **pixel_losses(decode_noisy(module, latent, rng), image, detail),
            "colour": 0.2 * F.mse_loss(latent[:, :3].float(), colours),
        }

    return Phase("autoencoder", model, losses, lambda module, file: draw_sheet(module, sources, file), sheet_minutes=4)


def decode_noisy(model: Autoencoder, latent: Tensor, rng: np.random.Generator) -> Tensor:
    """Decodes a latent that is a little off, as diffusion will leave it: [B, 3, H, W] in float32."""
    spread = latent.detach().float().std((0, 2, 3), keepdim=True)
    noise = torch.from_numpy(rng.standard_normal(tuple(latent.shape), dtype=np.float32)).to(latent.device)
    return model.decode(latent + NOISE * spread * noise).float()


def pixel_losses(decoded: Tensor, image: Tensor, detail: Tensor) -> dict[str, Tensor]:
    """L1 of the pixels and of their differences, [B, 3, H, W]; `detail` [B, 1, H, W] marks what counts more."""
    weight = 1 + (DETAIL_WEIGHT - 1) * detail
    return {"l1": (weight * (decoded - image).abs()).mean(), "gradient": _gradient_l1(decoded, image, weight)}


def draw_sheet(module: nn.Module, sources: tuple[Pictures, ...], file: Path) -> None:
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


def _to_tensor(rgb: NDArray[np.uint8]) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(rgb)).to(pick_device()).permute(0, 3, 1, 2).float()
    return (tensor / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def crops(source: Pictures, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Crops of random pictures, many of them at a face: as `cut` gives them."""
    return cut(source, windows(source, rng.integers(len(source), size=count), rng))


def windows(
    source: Pictures, picks: NDArray[np.int64], rng: np.random.Generator, grid: int = 1
) -> list[tuple[int, int, int]]:
    """A window of CROP x CROP pixels in each of the pictures, as (picture, y, x); y and x are multiples of `grid`."""
    out = []
    for i in picks:
        face = face_circle(source.keypoints[i])
        y, x = rng.integers(0, source.size - CROP + 1, 2)
        if face is not None and rng.random() < AT_FACE:
            middle = np.array(face[1::-1]) - CROP / 2 + rng.uniform(-CROP / 4, CROP / 4, 2)
            y, x = np.clip(middle.astype(int), 0, source.size - CROP)
        out.append((int(i), int(y) // grid * grid, int(x) // grid * grid))
    return out


def cut(source: Pictures, places: list[tuple[int, int, int]]) -> tuple[Tensor, Tensor]:
    """What the windows show: image [B, 3, 64, 64] in [-1, 1]; details [B, 1, 64, 64]: hands and faces."""
    rgb, detail = [], []
    for i, y, x in places:
        face = face_circle(source.keypoints[i])
        rgb.append(source.rgb[i, y : y + CROP, x : x + CROP])
        mask = (source.hands[i, y : y + CROP, x : x + CROP] > 0).astype(np.float32)
        if face is not None:
            rows, columns = np.ogrid[y : y + CROP, x : x + CROP]
            mask = np.maximum(mask, (columns - face[0]) ** 2 + (rows - face[1]) ** 2 < face[2] ** 2)
        detail.append(mask)
    details = torch.from_numpy(np.stack(detail)[:, None].astype(np.float32)).to(pick_device())
    return _to_tensor(np.stack(rgb)), details


def face_circle(keypoints: NDArray[np.float32]) -> tuple[float, float, float] | None:
    """keypoints [133, 3] -> centre x, y and radius of the face in pixels; None where it has no visible points."""
    points = keypoints[FACE][keypoints[FACE, 2] > 0, :2]
    if not len(points):
        return None
    low, high = points.min(0), points.max(0)
    x, y = (low + high) / 2
    return float(x), float(y), 0.75 * float((high - low).max())


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
