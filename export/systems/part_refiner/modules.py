"""One network per engine role, as a module that takes and gives plain tensors: what becomes one ONNX graph.

Signatures are those of the roles in parts.py. Knows nothing about ONNX, files or axis names.
"""

from __future__ import annotations

from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from handfirst.export.controlnet import ControlNet, SteeredUNet
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


class ControlledUNet(nn.Module):
    """sample [B, 2 C + 1, h, w], timestep, context, pose_feature [B, c0, h, w] -> prediction [B, C, h, w].

    The ControlNet sees x_t alone, the first C channels, and the pose encoded: its own hint encoder is the pose guider.
    """

    def __init__(self, unet: UNet2DConditionModel, controlnet: ControlNetModel) -> None:
        super().__init__()
        self.unet = SteeredUNet(unet)
        self.controlnet = ControlNet(controlnet)
        self.channels = int(unet.config.out_channels)

    def forward(self, sample: Tensor, timestep: Tensor, context: Tensor, pose_feature: Tensor) -> Tensor:
        residuals = self.controlnet(sample[:, : self.channels], timestep, context, pose_feature)
        prediction: Tensor = self.unet(sample, timestep, context, *residuals)
        return prediction
