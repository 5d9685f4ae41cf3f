"""One network per engine role, as a module that takes and gives plain tensors: what becomes one ONNX graph.

Signatures are those of the roles in parts.py. Knows nothing about ONNX, files or axis names.
"""

from __future__ import annotations

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from handfirst.training.systems.part_refiner.reference import read_banks, write_banks


class ReferenceUNet(nn.Module):
    """sample, timestep, context, pose_feature -> a bank for every transformer block."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: Tensor, timestep: Tensor, context: Tensor, pose_feature: Tensor) -> tuple[Tensor, ...]:
        return write_banks(self.unet, sample, timestep, context, pose_feature)


class MainUNet(nn.Module):
    """sample, timestep, context, pose_feature, referenced, then the banks in their order -> prediction [B, C, h, w]."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        context: Tensor,
        pose_feature: Tensor,
        referenced: Tensor,
        *banks: Tensor,
    ) -> Tensor:
        return read_banks(self.unet, sample, timestep, context, pose_feature, referenced, banks)


class InpaintUNet(nn.Module):
    """sample [B, 2 C + 1, h, w], timestep, context -> prediction [B, C, h, w]."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        prediction: Tensor = self.unet(sample, timestep, encoder_hidden_states=context, return_dict=False)[0]
        return prediction
