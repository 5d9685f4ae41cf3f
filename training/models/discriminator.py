"""A critic of small patches for the decoder's adversarial loss (as in latent diffusion, arXiv 2112.10752).

Knows nothing about losses.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Three strided convolutions and one verdict per patch; spectral norms keep it from running away.

    Args:
        width: channels of the first layer; each further layer has twice as many.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = [3, width, 2 * width, 4 * width]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, kernel_size=4, stride=2, padding=1)) for a, b in pairwise(widths)
        )
        self.verdict = spectral_norm(nn.Conv2d(widths[-1], 1, kernel_size=3, padding=1))

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """image [B, 3, H, W] -> verdicts [B, 1, H / 8, W / 8], high for real, and the layers' features."""
        features = []
        x = image
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
            features.append(x)
        verdict: Tensor = self.verdict(x)
        return verdict, features
