"""From a Stable Diffusion checkpoint to the untrained pair of stage models: where the paper's training begins.

The hand UNet is the checkpoint's with more input channels; the body's base is the checkpoint's as it is, guided by a
ControlNet whose hint has a fourth channel, the area to paint.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from pydantic import ValidationError
from torch import nn

from handfirst.engines.errors import UserError
from handfirst.runtime.systems.two_stage.settings import (
    BodySettings,
    ConditionSettings,
    HandSettings,
    MaskHeadSettings,
    TwoStageSettings,
)
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.pretrained import original
from handfirst.training.pretrained.file_kinds import one_line
from handfirst.training.pretrained.folder import read_folder
from handfirst.training.pretrained.networks import named
from handfirst.training.pretrained.stable_diffusion import StableDiffusion
from handfirst.training.pretrained.weights import read_weights
from handfirst.training.systems.two_stage.body_outpainter import BodyOutpainter, build_controlnet
from handfirst.training.systems.two_stage.hand_generator import HandGenerator, build_mask_head
from handfirst.training.systems.two_stage.model_folder import TwoStageModel

NewChannels = Literal["random", "zero"]
"""How new input channels begin: the paper's random (normal, std 0.02), or zero, which changes nothing at first."""

LARGEST = 2048
"""Pixels, as the settings of a hand allow."""


def untrained_pair(
    base: StableDiffusion,
    controlnet: ControlNetModel | None = None,
    new_channels: NewChannels = "random",
    size: int = 512,
    seed: int = 0,
    mask_head: MaskHeadSettings | None = None,
) -> TwoStageModel:
    """The two stage models before any training.

    Args:
        base: the checkpoint; its UNet becomes the body's base, a copy of it the hand UNet.
        controlnet: with a hint of 3 or 4 channels; None: a copy of the base's encoder that says nothing yet.
        new_channels: how the hand UNet's new input channels begin (paper, section III-B: random).
        size: side of hand crops and canvas in pixels, a multiple of 64.
        seed: of everything random.
        mask_head: which feature feeds the mask head, and its layers; None: the defaults.

    Raises:
        UserError: the ControlNet or the mask head does not fit the checkpoint, or `size` is no multiple of 64 or too
            large.
    """
    if size < 64 or size % 64:
        raise UserError(f"expected a size in multiples of 64 pixels, got {size}")
    if size > LARGEST:
        raise UserError(f"expected a size of {LARGEST} pixels at most, got {size}")
    settings = _settings(base, size, mask_head or MaskHeadSettings())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hand = copy.deepcopy(base.unet)
        widen(hand, settings.condition_channels, new_channels)
        head = build_mask_head(hand.config.block_out_channels, settings.latent.factor, settings.hand.mask_head)
        guide = controlnet or build_controlnet(base.unet, {}, settings.body.hint_channels)
    _check_guide(base.unet, guide)
    return TwoStageModel(
        settings=settings,
        tokenizer=base.tokenizer,
        text_encoder=base.text_encoder,
        autoencoder=Autoencoder(base.vae),
        hand=HandGenerator(hand, head),
        body=BodyOutpainter(base.unet, widen_hint(guide, settings.body.hint_channels)),
        training={"note": "untrained"},
    )


def _settings(base: StableDiffusion, size: int, mask_head: MaskHeadSettings) -> TwoStageSettings:
    try:
        condition = ConditionSettings(grid=size // base.latent.factor)
        return TwoStageSettings(
            schedule=base.schedule,
            latent=base.latent,
            text=base.text,
            hand=HandSettings(size=size, condition=condition, mask_head=mask_head),
            body=BodySettings(height=size, width=size),
        )
    except ValidationError as error:
        raise UserError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def read_controlnet(path: Path) -> ControlNetModel:
    """A ControlNet for Stable Diffusion 1.x: a diffusers folder, or a single file in either layout.

    Raises:
        UserError: not there, not a ControlNet, or damaged.
    """
    if path.is_dir():
        return read_folder(ControlNetModel, path)
    weights = read_weights(path)
    if not any("input_hint_block." in name or "controlnet_cond_embedding." in name for name in weights):
        raise UserError(f"{path}: not a ControlNet for Stable Diffusion 1.x: got {named(weights)}")
    with one_line(path, "not a ControlNet for Stable Diffusion 1.x", "copy it again"):
        return original.read_controlnet(weights)


@torch.no_grad()
def widen(unet: UNet2DConditionModel, channels: int, new_channels: NewChannels) -> None:
    """Adds input channels behind the present ones, in place."""
    unet.conv_in = _wider(unet.conv_in, channels, new_channels)
    unet.register_to_config(in_channels=unet.config.in_channels + channels)


@torch.no_grad()
def widen_hint(controlnet: ControlNetModel, channels: int) -> ControlNetModel:
    """A hint of `channels`: new ones begin at zero, so that a skeleton's ControlNet behaves as before (A6.12).

    Raises:
        UserError: the hint is wider than that already.
    """
    embedding = controlnet.controlnet_cond_embedding
    has = embedding.conv_in.in_channels
    if has > channels:
        raise UserError(f"expected a ControlNet whose hint has 3 or {channels} channels, got {has}")
    if has < channels:
        embedding.conv_in = _wider(embedding.conv_in, channels - has, "zero")
        controlnet.register_to_config(conditioning_channels=channels)
    return controlnet


def _wider(layer: nn.Conv2d, channels: int, new_channels: NewChannels) -> nn.Conv2d:
    out, has, *kernel = layer.weight.shape
    wider = nn.Conv2d(has + channels, out, kernel, layer.stride, layer.padding)  # type: ignore[arg-type]
    wider.weight[:, :has] = layer.weight
    wider.weight[:, has:] = torch.randn(out, channels, *kernel) * 0.02 if new_channels == "random" else 0.0
    if wider.bias is not None and layer.bias is not None:
        wider.bias.copy_(layer.bias)
    return wider


def _check_guide(unet: UNet2DConditionModel, controlnet: ControlNetModel) -> None:
    for name in ("in_channels", "block_out_channels", "cross_attention_dim"):
        expected, got = unet.config[name], controlnet.config[name]
        if (list(expected) if isinstance(expected, list | tuple) else expected) != (
            list(got) if isinstance(got, list | tuple) else got
        ):
            raise UserError(f"the ControlNet does not fit the checkpoint: {name} expected {expected}, got {got}")
