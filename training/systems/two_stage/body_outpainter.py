"""The body outpainter: a ControlNet with a 4-channel hint on a base UNet; stage 2 of the paper.

Knows nothing about blending or masks of latents; it predicts, the loop blends.
"""

from __future__ import annotations

from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn


class BodyOutpainter(nn.Module):
    """Base UNet and ControlNet as one module; freeze the base to train as the paper does."""

    def __init__(self, unet: UNet2DConditionModel, controlnet: ControlNetModel) -> None:
        super().__init__()
        self.unet = unet
        self.controlnet = controlnet

    def forward(
        self, sample: Tensor, timestep: Tensor, context: Tensor, hint: Tensor, strength: Tensor | None = None
    ) -> Tensor:
        """One evaluation.

        Args:
            sample: x_t [B, C, h, w].
            timestep: int64 [B].
            context: [B, L, D].
            hint: [B, 4, H, W], skeleton RGB in [0, 1] and the area to paint.
            strength: [B] or None: factor on the ControlNet's residuals; 0 leaves the base UNet alone.

        Returns:
            prediction [B, C, h, w].
        """
        down, mid = self.controlnet(
            sample, timestep, encoder_hidden_states=context, controlnet_cond=hint, return_dict=False
        )
        if strength is not None:
            weight = strength[:, None, None, None]
            down, mid = [weight * r for r in down], weight * mid
        prediction: Tensor = self.unet(
            sample,
            timestep,
            encoder_hidden_states=context,
            down_block_additional_residuals=tuple(down),
            mid_block_additional_residual=mid,
            return_dict=False,
        )[0]
        return prediction


def build_base_unet(config: dict[str, object], latent: int) -> UNet2DConditionModel:
    """A fresh base UNet from UNet2DConditionModel's arguments."""
    return UNet2DConditionModel(**{**config, "in_channels": latent, "out_channels": latent})


def build_controlnet(unet: UNet2DConditionModel, config: dict[str, object], hint_channels: int) -> ControlNetModel:
    """A ControlNet that starts as a copy of the base UNet's encoder, zero convolutions at its outputs."""
    return ControlNetModel.from_unet(unet, conditioning_channels=hint_channels, **config)
