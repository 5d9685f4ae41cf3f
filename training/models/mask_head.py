"""The mask head f_m: the hand's segmentation mask from a feature of the hand UNet's decoder (paper, section III-B).

Knows nothing about diffusion; it maps one feature map to one picture-sized mask.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from handfirst.engines.errors import UserError
from handfirst.runtime.systems.two_stage.settings import MaskHeadSettings


class MaskHead(nn.Module):
    """Transposed convolutions (2x2, stride 2), SiLU between them, then an average pool to the picture's size.

    The output is linear: the loss is a plain MSE.

    Args:
        channels: channels F of the feature.
        factor: pixels per latent cell (8 for every model here).
        settings: which feature it gets, and how many layers there are.

    Raises:
        ValueError: these layers do not lead from that feature to the picture's size.
    """

    def __init__(self, channels: int, factor: int = 8, settings: MaskHeadSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or MaskHeadSettings()
        pool, last = self.settings.pool(factor), self.settings.layers - 1
        widths = [channels, *(max(8, channels // 2**i) for i in range(1, last + 1)), 1]
        layers: list[nn.Module] = []
        for i in range(last + 1):
            layers.append(nn.ConvTranspose2d(widths[i], widths[i + 1], kernel_size=2, stride=2))
            if i < last:
                layers.append(nn.SiLU())
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AvgPool2d(pool) if pool > 1 else nn.Identity()

    @property
    def in_channels(self) -> int:
        """Channels F of the feature."""
        first = self.layers[0]
        assert isinstance(first, nn.ConvTranspose2d)
        return first.in_channels

    def forward(self, feature: Tensor) -> Tensor:
        """feature [B, F, h / stride, w / stride] of latents h x w -> mask [B, 1, h * factor, w * factor].

        About 0 outside the hand and 1 inside.
        """
        mask: Tensor = self.pool(self.layers(feature))
        return mask


def build_mask_head(widths: Sequence[int], factor: int, settings: MaskHeadSettings) -> MaskHead:
    """A fresh one for a UNet of these `block_out_channels`.

    Raises:
        UserError: the UNet has no such feature, or the layers do not lead from it to the picture's size.
    """
    if settings.source == "up_block" and len(widths) < 2:
        raise UserError("mask_head: source 'up_block' needs a UNet of at least two up blocks, got one; take 'last'")
    try:
        return MaskHead(widths[1 if settings.source == "up_block" else 0], factor, settings)
    except ValueError as error:
        raise UserError(str(error)) from error
