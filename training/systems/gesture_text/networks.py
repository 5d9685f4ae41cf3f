"""The UNet of gestures in words, told E' (Hand1000, section 3.3). Knows nothing about noise schedules or files."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from handfirst.training.gestures.fusion import double_fused


class GestureModel(nn.Module):
    """The UNet of a text-to-image model, told a gesture.

    Args:
        unet: with or without an adapter of peft's.
        fusion: of E and g.
        feature: g, [63].
    """

    def __init__(self, unet: UNet2DConditionModel, fusion: nn.Module, feature: Tensor) -> None:
        super().__init__()
        self.unet = unet
        self.fusion = fusion
        self.register_buffer("feature", feature.float(), persistent=False)
        self.feature: Tensor

    def told(self, context: Tensor, gestured: Tensor, share: float) -> Tensor:
        """E' = share E + (1 - share) F where `gestured` [B] is true, elsewhere E: [B, L, D]."""
        if share == 1:
            return context
        doubled = double_fused(context, self.fusion, self.feature, share)
        return torch.where(gestured[:, None, None], doubled, context)

    def forward(self, sample: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        """One evaluation: x_t [B, C, h, w], int64 [B], what `told` gives [B, L, D] -> prediction [B, C, h, w]."""
        prediction: Tensor = self.unet(sample, timestep, encoder_hidden_states=context, return_dict=False)[0]
        return prediction
