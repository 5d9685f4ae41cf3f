"""The hand UNet as a module that takes and gives plain tensors; the body's are those of export/controlnet.py.

What is constant over the denoising steps has a graph of its own, so that it runs once: the text, the hint and the mask
head. Knows nothing about ONNX, files or axis names (parts.py); signatures are those of the roles in parts.py.
"""

from __future__ import annotations

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
