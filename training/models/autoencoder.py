"""The autoencoder between pixels and latents: any diffusers class, named by its config.

Stable Diffusion's AutoencoderKL and the demo's AutoencoderDC are two values of the same setting. Latents here are
*raw*: the per-channel mean and std of LatentSettings are applied by the runtime's codec, not by the model.
"""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from torch import Tensor, nn

CLASSES = ("AutoencoderKL", "AutoencoderDC", "AutoencoderTiny")


class Autoencoder(nn.Module):
    """encode and decode with one signature for every class; encoding is the mode, never a sample."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def encode(self, image: Tensor) -> Tensor:
        """image [B, 3, H, W] in [-1, 1] -> raw latent [B, C, H / f, W / f]."""
        out: Any = self.model.encode(image)  # type: ignore[operator]
        latent: Tensor
        if hasattr(out, "latent_dist"):
            latent = out.latent_dist.mode()
        else:
            latent = out.latents if hasattr(out, "latents") else out.latent
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """raw latent [B, C, h, w] -> image [B, 3, h * f, w * f], about [-1, 1], not clipped."""
        image: Tensor = self.model.decode(latent).sample  # type: ignore[operator]
        return image


def build_autoencoder(config: dict[str, Any]) -> Autoencoder:
    """A fresh autoencoder from {"class": name, **arguments of that diffusers class}."""
    arguments = dict(config)
    name = arguments.pop("class", "AutoencoderKL")
    if name not in CLASSES:
        raise ValueError(f"autoencoder class must be one of {', '.join(CLASSES)}, got {name!r}")
    return Autoencoder(getattr(diffusers, name)(**arguments))


@torch.no_grad()
def latent_statistics(latents: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per-channel mean and std of raw latents [N, C, h, w], as LatentSettings carries them."""
    flat = latents.float().transpose(0, 1).flatten(1)
    return tuple(flat.mean(1).tolist()), tuple(flat.std(1).clamp_min(1e-6).tolist())
