"""The denoiser: a UNet over the channels of a picture and of its annotation. For every size.

Three kinds, by what it is told: nothing, a class, or words. Knows nothing about noise schedules, pixels or files.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from handfirst.runtime.systems.annotated.settings import AnnotatedSettings


class Denoiser(nn.Module):
    """A UNet and, for models that know classes, what each class adds to the time's embedding.

    Args:
        unet: UNet2DConditionModel reads words; UNet2DModel does not.
        classes: K of them.
        patch: side of the squares of cells that the UNet sees as one place; its channels are `patch`² times those of
            what is denoised, its sides as much shorter.
    """

    def __init__(self, unet: UNet2DModel | UNet2DConditionModel, classes: int = 0, patch: int = 1) -> None:
        super().__init__()
        self.unet, self.patch = unet, patch
        width = unet.time_embedding.linear_2.out_features
        self.label = nn.Linear(classes, width, bias=False) if classes else None

    def forward(self, sample: Tensor, timestep: Tensor, told: Tensor | None = None) -> Tensor:
        """One evaluation.

        Args:
            sample: x_t [B, C, h, w].
            timestep: int64 [B].
            told: label [B, K], 1 at the row's class and zeros where it has none; or context [B, L, D]; or None.

        Returns:
            prediction [B, C, h, w].
        """
        sample = pixel_unshuffle(sample, self.patch)
        if isinstance(self.unet, UNet2DConditionModel):
            found = self.unet(sample, timestep, encoder_hidden_states=told, return_dict=False)
        else:
            labels = None if self.label is None else self.label(told)
            found = self.unet(sample, timestep, class_labels=labels, return_dict=False)
        return pixel_shuffle(found[0], self.patch)


def build_denoiser(unet: dict[str, Any], settings: AnnotatedSettings) -> Denoiser:
    """A fresh one that reads no words, from UNet2DModel's arguments; sizes and channels are the settings'."""
    classes = len(settings.classes)
    channels = settings.channels * settings.patch**2
    sizes = {"sample_size": settings.cells // settings.patch, "in_channels": channels, "out_channels": channels}
    embedding = {"class_embed_type": "identity"} if classes else {}
    return Denoiser(UNet2DModel(**{**unet, **sizes, **embedding}), classes, settings.patch)


@torch.no_grad()
def widen(unet: UNet2DConditionModel, channels: int) -> None:
    """In place: more channels in and out. What is new begins at zero: the picture's prediction stays what it was, and
    the annotation's is learnt from nothing."""
    for name, change in (("conv_in", "in_channels"), ("conv_out", "out_channels")):
        layer: nn.Conv2d = getattr(unet, name)
        setattr(layer, change, channels)
        weight = torch.zeros(layer.out_channels, layer.in_channels, *layer.weight.shape[2:])
        weight[: layer.weight.shape[0], : layer.weight.shape[1]] = layer.weight
        layer.weight = nn.Parameter(weight)
        if layer.bias is not None:
            bias = torch.zeros(layer.out_channels)
            bias[: len(layer.bias)] = layer.bias
            layer.bias = nn.Parameter(bias)
        unet.register_to_config(**{change: channels})
