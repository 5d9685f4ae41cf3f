"""An autoencoder's two halves, and a small decoder for previews, as modules that take and give plain tensors: graphs of
every system with latents."""

from __future__ import annotations

from torch import Tensor, nn

from handfirst.training.models.autoencoder import Autoencoder


class Encoder(nn.Module):
    """image [B, 3, H, W] in [-1, 1] -> raw latent [B, C, H / f, W / f], the mode of the distribution."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, image: Tensor) -> Tensor:
        return self.autoencoder.encode(image)


class Decoder(nn.Module):
    """raw latent [B, C, h, w] -> image [B, 3, h * f, w * f], not clipped."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latent: Tensor) -> Tensor:
        return self.autoencoder.decode(latent)


SCALE = 0.18215
"""Raw latents of Stable Diffusion 1.x times this are what its UNet sees, and what TAESD was distilled on."""


class PreviewDecoder(nn.Module):
    """As Decoder, by TAESD's decoder (training/pretrained/tiny_decoder.py)."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latent: Tensor) -> Tensor:
        image: Tensor = self.decoder(latent * SCALE)
        return image
