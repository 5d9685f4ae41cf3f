"""What turns pictures and words into what a stage learns from: a frozen autoencoder and, where there are words, a
frozen text encoder.

Knows nothing about samples or stages.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel

from handfirst.runtime.diffusion.settings import LatentSettings
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.text_encoder import TextContext


class Encoders(nn.Module):
    """Autoencoder and text encoder; no gradient passes through them, and they never leave evaluation mode."""

    def __init__(self, autoencoder: Autoencoder, text_encoder: CLIPTextModel | None, latent: LatentSettings) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.text = None if text_encoder is None else TextContext(text_encoder)
        # on the device once: a tensor that is made of numbers makes the host wait for a GPU
        self.register_buffer("mean", torch.tensor(latent.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(latent.std)[:, None, None], persistent=False)
        self.mean: Tensor
        self.std: Tensor
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Encoders:
        """Stays in evaluation mode whatever is asked."""
        super().train(False)
        return self

    @torch.no_grad()
    def latents(self, rgb: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> standardised latents float32 [B, C, h, w], the mode."""
        return self.standardised(self.raw(rgb))

    @torch.no_grad()
    def raw(self, rgb: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> latents [B, C, h, w] as the autoencoder gives them, in its precision; the mode."""
        image = rgb.permute(0, 3, 1, 2).float() / 127.5 - 1
        with _no_half(image.device):
            return self.autoencoder.encode(image)

    def standardised(self, raw: Tensor) -> Tensor:
        """Raw latents -> float32 of mean 0 and deviation 1, channel by channel."""
        return (raw.float() - self.mean) / self.std

    @torch.no_grad()
    def pictures(self, latents: Tensor) -> Tensor:
        """standardised latents [B, C, h, w] -> images [B, 3, H, W], about [-1, 1]."""
        with _no_half(latents.device):
            return self.autoencoder.decode(latents.float() * self.std + self.mean).float()

    @torch.no_grad()
    def contexts(self, ids: Tensor) -> Tensor:
        """int64 [B, L] -> [B, L, D]; only with a text encoder."""
        assert self.text is not None
        context: Tensor = self.text(ids)
        return context


def normalise(latent: Tensor, settings: LatentSettings) -> Tensor:
    """raw -> standardised latents [B, C, h, w]."""
    mean = torch.tensor(settings.mean, device=latent.device)[:, None, None]
    return (latent - mean) / torch.tensor(settings.std, device=latent.device)[:, None, None]


def denormalise(latent: Tensor, settings: LatentSettings) -> Tensor:
    """standardised -> raw latents [B, C, h, w]."""
    mean = torch.tensor(settings.mean, device=latent.device)[:, None, None]
    return latent.float() * torch.tensor(settings.std, device=latent.device)[:, None, None] + mean


def _no_half(device: torch.device) -> torch.autocast:
    """Stable Diffusion's autoencoder overflows in float16; bfloat16 has the range."""
    half = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type) == torch.float16
    enabled = torch.is_autocast_enabled(device.type) and not half
    return torch.autocast(device.type, torch.get_autocast_dtype(device.type), enabled=enabled)
