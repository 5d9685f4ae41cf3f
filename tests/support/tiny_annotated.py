"""Whole models of annotated hands with random weights, small enough to train and export in seconds.

One of 16 x 16 pixels that knows two classes, and one that a tiny Stable Diffusion was widened to, which reads text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from support.tiny_model import CAPTIONS

from handfirst.runtime.diffusion.settings import ScheduleSettings, TextSettings
from handfirst.runtime.systems.annotated.settings import AnnotatedSettings, Defaults
from handfirst.training.models.text_encoder import build_text_encoder, train_tokenizer
from handfirst.training.pretrained.stable_diffusion import StableDiffusion
from handfirst.training.systems.annotated.config import NetworkConfig, new_model, widened_model

SCHEDULE = ScheduleSettings(
    train_steps=50, betas="linear", beta_start=0.002, beta_end=0.2, prediction="v_prediction", spacing="trailing",
    steps_offset=0, set_alpha_to_one=True,
)  # fmt: skip
UNET: dict[str, Any] = {
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [16, 16], "layers_per_block": 1, "attention_head_dim": 8, "norm_num_groups": 8,
}  # fmt: skip
VAE: dict[str, Any] = {
    "block_out_channels": [8, 8], "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2, "norm_num_groups": 4,
}  # fmt: skip


def tiny_config(**changes: Any) -> NetworkConfig:
    """Pixels, three grey channels, two classes; `changes` replace settings by name."""
    blocks: dict[str, Any] = {
        "size": 16, "schedule": SCHEDULE, "classes": ("fist", "palm"), "defaults": Defaults(steps=4, guidance=2.0),
    }  # fmt: skip
    return NetworkConfig(settings=AnnotatedSettings(**{**blocks, **changes}), unet=UNET)


def write_tiny_annotated(folder: Path, **changes: Any) -> Path:
    """A model folder of it."""
    new_model(tiny_config(**changes), None, None, 0, folder)
    return folder


def tiny_base() -> StableDiffusion:
    """Latents of 4 channels, 2 pixels to a cell; torch's global generator is left as it was."""
    tokenizer = train_tokenizer(CAPTIONS, 300)
    text = TextSettings(length=8, width=32, begin=0, end=1, pad=1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        unet = UNet2DConditionModel(
            sample_size=8, down_block_types=["CrossAttnDownBlock2D"], up_block_types=["CrossAttnUpBlock2D"],
            block_out_channels=[16], layers_per_block=1, attention_head_dim=2, cross_attention_dim=32,
            norm_num_groups=8,
        )  # fmt: skip
        vae = AutoencoderKL(**VAE)
        layers = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        encoder = build_text_encoder(layers, text.length, text.width, tokenizer.get_vocab_size())
    return StableDiffusion(unet.eval(), vae.eval(), encoder.eval(), tokenizer, ScheduleSettings(), text)


def write_tiny_widened(folder: Path) -> Path:
    """A model folder: 16 x 16 pixels, latents of 2 x 4 x 8 x 8, eight tokens."""
    widened_model(tiny_base(), "channels", 16, folder)
    return folder
