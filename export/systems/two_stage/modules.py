"""One network per engine role, as a module that takes and gives plain tensors: what becomes one ONNX graph.

What is constant over the denoising steps has a graph of its own, so that it runs once: the text, the hint and the mask
head. Knows nothing about ONNX, files or axis names (parts.py); signatures are those of the roles in parts.py.
"""

from __future__ import annotations

import copy

from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from handfirst.training.systems.two_stage.hand_generator import HandGenerator, decoder_features


class HandUNet(nn.Module):
    """sample [B, C + K', h, w], timestep [B], context [B, L, D] -> prediction [B, C, h, w], the mask head's feature."""

    def __init__(self, hand: HandGenerator) -> None:
        super().__init__()
        self.unet = hand.unet
        self.conv_out = hand.conv_out
        self.source = hand.mask_head.settings.source

    def forward(self, sample: Tensor, timestep: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        last, feature = decoder_features(self.unet, self.source, sample, timestep, context)
        return self.conv_out(last), feature


class ControlNet(nn.Module):
    """sample, timestep, context, hint_feature [B, c0, h, w] -> the residuals of the down blocks, then the middle's.

    The hint arrives encoded: the network's own hint encoder is replaced by the identity in a shallow copy, the
    original stays whole.
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


class BodyUNet(nn.Module):
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
