"""The hand generator H_theta with its mask head: stage 1 of the paper, for every size of UNet.

Knows nothing about noise schedules, text or pixels: latents and conditions in, prediction and feature out.
"""

from __future__ import annotations

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from handfirst.training.models.mask_head import MaskHead


class HandGenerator(nn.Module):
    """A diffusers UNet with C + K' input channels whose last decoder feature also feeds the mask head.

    The UNet's `conv_out` is lifted out of it, so that its output becomes the feature (after the last norm and SiLU).
    """

    def __init__(self, unet: UNet2DConditionModel, mask_head: MaskHead) -> None:
        super().__init__()
        self.conv_out: nn.Conv2d = unet.conv_out
        unet.conv_out = nn.Identity()
        self.unet = unet
        self.mask_head = mask_head

    def forward(self, sample: Tensor, timestep: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """One evaluation.

        Args:
            sample: [B, C + K', h, w], x_t then c_p.
            timestep: int64 [B].
            context: [B, L, D] from the text encoder.

        Returns:
            prediction [B, C, h, w] and feature [B, F, h, w].
        """
        feature: Tensor = self.unet(sample, timestep, encoder_hidden_states=context, return_dict=False)[0]
        return self.conv_out(feature), feature

    def mask(self, feature: Tensor) -> Tensor:
        """feature -> mask [B, 1, H, W] at image resolution, linear."""
        mask: Tensor = self.mask_head(feature)
        return mask


def build_hand_generator(config: dict[str, object], latent: int, condition: int, factor: int) -> HandGenerator:
    """A fresh hand generator from UNet2DConditionModel's arguments; in and out channels come from the settings."""
    unet = UNet2DConditionModel(**{**config, "in_channels": latent + condition, "out_channels": latent})
    return HandGenerator(unet, MaskHead(unet.config.block_out_channels[0], factor))
