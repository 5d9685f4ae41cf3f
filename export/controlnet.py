"""A ControlNet and the UNet that it steers, as modules that take and give plain tensors.

The hint arrives encoded: as it is constant over the denoising steps, its encoder is a graph of its own. Knows nothing
about ONNX, files, or what the hint shows.
"""

from __future__ import annotations

import copy

from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn


class ControlNet(nn.Module):
    """sample, timestep, context, hint_feature [B, c0, h, w] -> the residuals of the down blocks, then the middle's.

    The network's own hint encoder is replaced by the identity in a shallow copy, the original stays whole.
    """

    def __init__(self, controlnet: ControlNetModel) -> None:
        super().__init__()
        shell = copy.copy(controlnet)
        shell._modules = dict(controlnet._modules)
        shell.controlnet_cond_embedding = nn.Identity()
        self.controlnet = shell

    def forward(self, sample: Tensor, timestep: Tensor, context: Tensor, hint_feature: Tensor) -> tuple[Tensor, ...]:
        down, mid = self.controlnet(
            sample, timestep, encoder_hidden_states=context, controlnet_cond=hint_feature, return_dict=False
        )
        return (*down, mid)


class SteeredUNet(nn.Module):
    """sample, timestep, context, then the ControlNet's outputs in its order -> prediction [B, C, h, w]."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: Tensor, timestep: Tensor, context: Tensor, *residuals: Tensor) -> Tensor:
        prediction: Tensor = self.unet(
            sample,
            timestep,
            encoder_hidden_states=context,
            down_block_additional_residuals=residuals[:-1],
            mid_block_additional_residual=residuals[-1],
            return_dict=False,
        )[0]
        return prediction
