"""The hand generator H_theta with its mask head f_m: stage 1 of the paper, for every size of UNet (section III-B).

Knows nothing about noise schedules, text or pixels: latents and conditions in, prediction and feature out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from handfirst.engines.errors import UserError
from handfirst.runtime.systems.two_stage.settings import MaskHeadSettings, MaskSource


class MaskHead(nn.Module):
    """Transposed convolutions (2x2, stride 2), SiLU between them, then an average pool to the picture's size.

    The output is linear: the loss is a plain MSE.

    Args:
        channels: channels F of the feature.
        factor: pixels per latent cell (8 for every model here).
        settings: which feature it gets, and how many layers there are.

    Raises:
        ValueError: these layers do not lead from that feature to the picture's size.
    """

    def __init__(self, channels: int, factor: int = 8, settings: MaskHeadSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or MaskHeadSettings()
        pool, last = self.settings.pool(factor), self.settings.layers - 1
        widths = [channels, *(max(8, channels // 2**i) for i in range(1, last + 1)), 1]
        layers: list[nn.Module] = []
        for i in range(last + 1):
            layers.append(nn.ConvTranspose2d(widths[i], widths[i + 1], kernel_size=2, stride=2))
            if i < last:
                layers.append(nn.SiLU())
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AvgPool2d(pool) if pool > 1 else nn.Identity()

    @property
    def in_channels(self) -> int:
        """Channels F of the feature."""
        first = self.layers[0]
        assert isinstance(first, nn.ConvTranspose2d)
        return first.in_channels

    def forward(self, feature: Tensor) -> Tensor:
        """feature [B, F, h / stride, w / stride] of latents h x w -> mask [B, 1, h * factor, w * factor].

        About 0 outside the hand and 1 inside.
        """
        mask: Tensor = self.pool(self.layers(feature))
        return mask


def build_mask_head(widths: Sequence[int], factor: int, settings: MaskHeadSettings) -> MaskHead:
    """A fresh one for a UNet of these `block_out_channels`.

    Raises:
        UserError: the UNet has no such feature, or the layers do not lead from it to the picture's size.
    """
    if settings.source == "up_block" and len(widths) < 2:
        raise UserError("mask_head: source 'up_block' needs a UNet of at least two up blocks, got one; take 'last'")
    try:
        return MaskHead(widths[1 if settings.source == "up_block" else 0], factor, settings)
    except ValueError as error:
        raise UserError(str(error)) from error


class HandGenerator(nn.Module):
    """A diffusers UNet with C + K' input channels, one of whose decoder features also feeds the mask head.

    The UNet's `conv_out` is lifted out of it. Which feature it is, the mask head's settings say.
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
            prediction [B, C, h, w] and feature [B, F, h, w] (source "last") or [B, F, h / 2, w / 2] ("up_block").
        """
        source = self.mask_head.settings.source
        last, feature = decoder_features(self.unet, source, sample, timestep, context)
        return self.conv_out(last), feature

    def mask(self, feature: Tensor) -> Tensor:
        """feature -> mask [B, 1, H, W] at image resolution, linear."""
        mask: Tensor = self.mask_head(feature)
        return mask


def decoder_features(
    unet: UNet2DConditionModel, source: MaskSource, sample: Tensor, timestep: Tensor, context: Tensor
) -> tuple[Tensor, Tensor]:
    """What conv_out gets (after the last norm and SiLU), and what the mask head gets; the same for source "last".

    Args:
        unet: its conv_out is the identity.
        source: see MaskHeadSettings.
        sample, timestep, context: as in HandGenerator.forward.
    """
    if source == "last":
        last: Tensor = unet(sample, timestep, encoder_hidden_states=context, return_dict=False)[0]
        return last, last
    with _input_of(unet.up_blocks[-2].upsamplers[0]) as seen:
        last = unet(sample, timestep, encoder_hidden_states=context, return_dict=False)[0]
    return last, seen[0]


@contextmanager
def _input_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """What the module is given while this lasts.

    The hook lives for one evaluation only: a copy of the network has none of the original's, and a graph is traced
    through it. Upsamplers lie outside of what diffusers computes twice where activations are checkpointed.
    """
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        handle.remove()


def build_hand_generator(
    config: dict[str, object], latent: int, condition: int, factor: int, mask_head: MaskHeadSettings | None = None
) -> HandGenerator:
    """A fresh hand generator from UNet2DConditionModel's arguments; in and out channels come from the settings.

    Raises:
        UserError: the mask head does not fit the UNet.
    """
    unet = UNet2DConditionModel(**{**config, "in_channels": latent + condition, "out_channels": latent})
    head = build_mask_head(unet.config.block_out_channels, factor, mask_head or MaskHeadSettings())
    return HandGenerator(unet, head)
