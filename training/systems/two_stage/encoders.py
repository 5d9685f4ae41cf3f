"""The frozen half of training: pictures to latents and token ids to contexts, on the fly, as the runtime does it.

Knows nothing about losses or about which networks are trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel

from handfirst.runtime.settings import TwoStageSettings
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.text_encoder import TextContext
from handfirst.training.systems.two_stage.sampling import denormalise, normalise


class Encoders(nn.Module):
    """Autoencoder and text encoder; no gradient passes through them, and they never leave evaluation mode."""

    def __init__(self, autoencoder: Autoencoder, text_encoder: CLIPTextModel, settings: TwoStageSettings) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.text = TextContext(text_encoder)
        self.settings = settings
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Encoders:
        """Stays in evaluation mode whatever is asked."""
        super().train(False)
        return self

    @torch.no_grad()
    def latents(self, rgb: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> standardised latents float32 [B, C, h, w], the mode."""
        image = rgb.permute(0, 3, 1, 2).float() / 127.5 - 1
        with _no_half(image.device):
            return normalise(self.autoencoder.encode(image).float(), self.settings.latent)

    @torch.no_grad()
    def pictures(self, latents: Tensor) -> Tensor:
        """standardised latents [B, C, h, w] -> images [B, 3, H, W], about [-1, 1]."""
        with _no_half(latents.device):
            return self.autoencoder.decode(denormalise(latents, self.settings.latent)).float()

    @torch.no_grad()
    def contexts(self, ids: Tensor) -> Tensor:
        """int64 [B, L] -> [B, L, D]."""
        context: Tensor = self.text(ids)
        return context


def _no_half(device: torch.device) -> torch.autocast:
    """Stable Diffusion's autoencoder overflows in float16; bfloat16 has the range."""
    half = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type) == torch.float16
    enabled = torch.is_autocast_enabled(device.type) and not half
    return torch.autocast(device.type, torch.get_autocast_dtype(device.type), enabled=enabled)
