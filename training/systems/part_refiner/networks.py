"""The part refiner's own networks: pose guider, image encoder with its projector, both UNets of stage 1, the inpainter
of stage 2. For every size. Knows nothing about noise schedules, pixels or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

from handfirst.training.systems.part_refiner.reference import banked, read_banks, write_banks

LEAST_RATE = 1e-3
"""Standard deviation of a fresh pose guider's last convolution: at 0, as diffusers leaves it, it would say nothing to a
UNet that learns from nothing."""


class ImageContext(nn.Module):
    """A picture -> what both UNets of stage 1 are told of it: DINOv2's tokens, normed and brought to their width.

    Args:
        encoder: its position table may be for another size; it is interpolated.
        width: D of the context.
    """

    def __init__(self, encoder: Dinov2Model, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        tokens = encoder.config.hidden_size
        self.projector = nn.Sequential(nn.LayerNorm(tokens), nn.Linear(tokens, width))

    def forward(self, picture: Tensor) -> Tensor:
        """picture [B, 3, S, S], normalised -> context [B, 1 + patches, D]."""
        context: Tensor = self.projector(self.encoder(pixel_values=picture).last_hidden_state)
        return context


class PartRefiner(nn.Module):
    """Stage 1: main and reference UNet, pose guider and image encoder as one module."""

    def __init__(
        self,
        main: UNet2DConditionModel,
        reference: UNet2DConditionModel,
        pose_guider: ControlNetConditioningEmbedding,
        image: ImageContext,
    ) -> None:
        super().__init__()
        self.main = banked(main)
        self.reference = banked(reference)
        self.pose_guider = pose_guider
        self.image = image

    def banks(self, latents: Tensor, timestep: Tensor, context: Tensor, pose: Tensor) -> tuple[Tensor, ...]:
        """The reference's latents [B, C, h, w] and its pose picture [B, 3, H, W] -> a bank for every block."""
        return write_banks(self.reference, latents, timestep, context, self.pose_guider(pose))

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        context: Tensor,
        pose: Tensor,
        referenced: Tensor,
        banks: Sequence[Tensor],
    ) -> Tensor:
        """One evaluation.

        Args:
            sample: x_t [B, C, h, w].
            timestep: int64 [B].
            context: [B, N, D] of the reference picture.
            pose: the pose picture [B, 3, H, W] in [0, 1].
            referenced: [B], above 0 where the row looks at its banks.
            banks: of `banks`.

        Returns:
            prediction [B, C, h, w].
        """
        return read_banks(self.main, sample, timestep, context, self.pose_guider(pose), referenced, banks)


class Inpainter(nn.Module):
    """Stage 2: a UNet of 2 C + 1 input channels and, for models without text, the context that it is always told.

    Args:
        context: float32 [L, D]; None: the context is a text's.
    """

    def __init__(self, unet: UNet2DConditionModel, context: Tensor | None = None) -> None:
        super().__init__()
        self.unet = unet
        self.context = None if context is None else nn.Parameter(context)

    def forward(self, sample: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        """sample [B, 2 C + 1, h, w]: x_t, the ring to paint (1), the latents without it -> prediction [B, C, h, w]."""
        prediction: Tensor = self.unet(sample, timestep, encoder_hidden_states=context, return_dict=False)[0]
        return prediction


def build_pose_guider(config: dict[str, Any], channels: int) -> ControlNetConditioningEmbedding:
    """A fresh one that says a little; `channels` C0 are those of the UNets' first convolution."""
    guider = ControlNetConditioningEmbedding(channels, 3, tuple(config["block_out_channels"]))
    nn.init.normal_(guider.conv_out.weight, std=LEAST_RATE)
    return guider


def build_image_context(config: dict[str, Any], size: int, width: int) -> ImageContext:
    """A fresh image encoder from Dinov2Config's arguments, for pictures of `size` pixels a side."""
    return ImageContext(Dinov2Model(Dinov2Config(**{**config, "image_size": size})), width)


def build_refiner(
    unet: dict[str, Any], guider: dict[str, Any], image: dict[str, Any], latent: int, size: int, width: int
) -> PartRefiner:
    """Stage 1 from nothing.

    Args:
        unet: UNet2DConditionModel's arguments, of both UNets.
        guider: {"block_out_channels": ...}.
        image: Dinov2Config's arguments.
        latent: C.
        size: of the image encoder's pictures.
        width: D of its context.
    """
    arguments = {**unet, "in_channels": latent, "out_channels": latent, "cross_attention_dim": width}
    main, reference = UNet2DConditionModel(**arguments), UNet2DConditionModel(**arguments)
    pose = build_pose_guider(guider, main.config.block_out_channels[0])
    return PartRefiner(main, reference, pose, build_image_context(image, size, width))


def build_inpainter(unet: dict[str, Any], latent: int, context: tuple[int, int] | None) -> Inpainter:
    """Stage 2 from nothing; `context` is (L, D) of the context that a model without text is always told."""
    width = {} if context is None else {"cross_attention_dim": context[1]}
    model = UNet2DConditionModel(**{**unet, **width, "in_channels": 2 * latent + 1, "out_channels": latent})
    return Inpainter(model, None if context is None else torch.randn(context) * 0.02)


@torch.no_grad()
def fix_positions(encoder: Dinov2Model, size: int) -> Dinov2Model:
    """In place: the position table for pictures of `size` pixels, as the encoder would interpolate it every time."""
    table = encoder.embeddings
    patches = (size // encoder.config.patch_size) ** 2
    tokens = torch.zeros(1, 1 + patches, encoder.config.hidden_size, device=table.position_embeddings.device)
    table.position_embeddings = nn.Parameter(table.interpolate_pos_encoding(tokens, size, size).clone())
    encoder.config.image_size = size
    return encoder
