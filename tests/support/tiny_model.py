"""A whole two-stage model with random weights, small enough to export in seconds: what the parity tests run on.

Every structural feature of the real ones is there: a CLIP text encoder with a trained tokenizer, a hand UNet with
folded finger maps, a mask head, a base UNet with a ControlNet whose outputs are *not* zero, and an autoencoder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from handfirst.export.weights import round_weights
from handfirst.runtime.diffusion.settings import LatentSettings, ScheduleSettings, TextSettings
from handfirst.runtime.systems.two_stage.settings import (
    BodySettings,
    ConditionSettings,
    Defaults,
    HandSettings,
    TwoStageSettings,
)
from handfirst.training.models.autoencoder import build_autoencoder
from handfirst.training.models.text_encoder import build_text_encoder, train_tokenizer
from handfirst.training.systems.two_stage.body_outpainter import BodyOutpainter, build_base_unet, build_controlnet
from handfirst.training.systems.two_stage.hand_generator import build_hand_generator
from handfirst.training.systems.two_stage.model_folder import TwoStageModel, save_model

CAPTIONS = (
    "a woman with long hair in a red shirt, blue background",
    "a man in a green coat, thumb up, grey background",
    "palm of a left hand, dark skin",
    "back of a right hand, light skin",
)

AUTOENCODERS: dict[str, dict[str, Any]] = {
    "AutoencoderKL": {
        "block_out_channels": [8, 8, 16, 16],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "norm_num_groups": 4,
    },
    "AutoencoderDC": {
        "attention_head_dim": 8,
        "encoder_block_types": "ResBlock",
        "decoder_block_types": "ResBlock",
        "encoder_block_out_channels": [8, 8, 16, 16],
        "decoder_block_out_channels": [8, 8, 16, 16],
        "encoder_layers_per_block": [0, 1, 1, 1],
        "decoder_layers_per_block": [0, 1, 1, 1],
        "encoder_qkv_multiscales": [[], [], [], []],
        "decoder_qkv_multiscales": [[], [], [], []],
        "downsample_block_type": "pixel_unshuffle",
        "upsample_block_type": "pixel_shuffle",
        "decoder_norm_types": "rms_norm",
        "decoder_act_fns": "silu",
    },
    "AutoencoderTiny": {
        "encoder_block_out_channels": (8, 8, 8, 8),
        "decoder_block_out_channels": (8, 8, 8, 8),
        "num_encoder_blocks": (1, 1, 1, 1),
        "num_decoder_blocks": (1, 1, 1, 1),
    },
}
"""One small configuration of each class that the repository supports; eight pixels per latent cell in all."""

_UNET: dict[str, Any] = {
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": 32,
    "norm_num_groups": 8,
}

HAND_UNET: dict[str, Any] = {
    **_UNET,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
}

BODY_UNET: dict[str, Any] = {
    **_UNET,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
}


def tiny_settings(**changes: Any) -> TwoStageSettings:
    """A canvas of 64 x 64, hand crops of 64 x 64, latents of 4 x 8 x 8; `changes` replace whole blocks by name."""
    blocks: dict[str, Any] = {
        "schedule": ScheduleSettings(),
        "latent": LatentSettings(mean=(0.1, -0.2, 0.0, 0.3), std=(1.0, 1.5, 0.8, 1.2)),
        "text": TextSettings(length=16, width=32, begin=0, end=1, pad=1),
        "hand": HandSettings(size=64, condition=ConditionSettings(grid=16, fold=2, sigma=0.05)),
        "body": BodySettings(height=64, width=64),
        "defaults": Defaults(steps=4, guidance=2.0, hand_guidance=1.5),
    }
    return TwoStageSettings(**{**blocks, **changes})


def tiny_model(
    settings: TwoStageSettings | None = None, autoencoder: str = "AutoencoderTiny", seed: int = 0
) -> TwoStageModel:
    """A fresh random model, the same for the same arguments; torch's global generator is left as it was.

    Large weights are numbers that float16 holds.
    """
    settings = settings or tiny_settings()
    text, latent = settings.text, settings.latent
    tokenizer = train_tokenizer(CAPTIONS, 300)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        base = build_base_unet(BODY_UNET, latent.channels)
        controlnet = build_controlnet(
            base, {"conditioning_embedding_out_channels": (8, 8, 8, 8)}, settings.body.hint_channels
        )
        _fill_zero_convolutions(controlnet)
        model = TwoStageModel(
            settings=settings,
            tokenizer=tokenizer,
            text_encoder=build_text_encoder(
                {"intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_act": "quick_gelu"},
                text.length,
                text.width,
                tokenizer.get_vocab_size(),
            ),
            autoencoder=build_autoencoder(
                {"class": autoencoder, "latent_channels": latent.channels, **AUTOENCODERS[autoencoder]}
            ),
            hand=build_hand_generator(
                HAND_UNET, latent.channels, settings.condition_channels, latent.factor, settings.hand.mask_head
            ),
            body=BodyOutpainter(base, controlnet),
            training={"note": "random weights"},
        )
    for network in model.networks().values():
        network.eval()
        if not any(parameter.is_meta for parameter in network.parameters()):
            round_weights(network)  # graphs that store half of the bits are then those that store all of them
    return model


def save_tiny_model(folder: Path, **arguments: Any) -> TwoStageModel:
    """Builds tiny_model(**arguments), writes it to `folder` in the layout of checkpoint.py and returns it."""
    model = tiny_model(**arguments)
    save_model(model, folder)
    return model


def _fill_zero_convolutions(controlnet: nn.Module) -> None:
    """A fresh ControlNet says nothing; random output convolutions make it take part."""
    outputs = [*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block]
    for layer in [*outputs, controlnet.controlnet_cond_embedding.conv_out]:
        nn.init.normal_(layer.weight, std=0.1)
        nn.init.normal_(layer.bias, std=0.1)
