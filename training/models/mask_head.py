"""The mask head f_m: the hand's segmentation mask from the hand UNet's last decoder feature (paper, section III-B).

Knows nothing about diffusion; it maps one feature map to one picture-sized mask.
"""

from __future__ import annotations

from torch import Tensor, nn


class MaskHead(nn.Module):
    """Four transposed convolutions (2x2, stride 2), SiLU between them, then an average pool to the picture's size.

    Four doublings of a latent with factor 8 give twice the picture's side; the 2x2 average pool brings it back
    (the paper names both four layers and image resolution). The output is linear: the loss is a plain MSE.

    Args:
        channels: channels F of the feature.
        factor: pixels per latent cell (8 for every model here).
    """

    def __init__(self, channels: int, factor: int = 8) -> None:
        super().__init__()
        if factor not in (1, 2, 4, 8, 16):
            raise ValueError(f"factor must be a power of two up to 16, got {factor}")
        widths = [channels, *(max(8, channels // 2**i) for i in (1, 2, 3)), 1]
        layers: list[nn.Module] = []
        for i in range(4):
            layers.append(nn.ConvTranspose2d(widths[i], widths[i + 1], kernel_size=2, stride=2))
            if i < 3:
                layers.append(nn.SiLU())
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AvgPool2d(16 // factor) if factor < 16 else nn.Identity()

    def forward(self, feature: Tensor) -> Tensor:
        """feature [B, F, h, w] -> mask [B, 1, h * factor, w * factor], about 0 outside the hand and 1 inside."""
        mask: Tensor = self.pool(self.layers(feature))
        return mask
