"""The networks of a run: fresh from the configuration, or with the weights that its phases left; and all in one folder.

Knows nothing about training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.checkpoint import TwoStageModel, save_model
from handfirst.training.config import TrainingConfig
from handfirst.training.models.autoencoder import Autoencoder, build_autoencoder
from handfirst.training.models.body_outpainter import BodyOutpainter, build_base_unet, build_controlnet
from handfirst.training.models.hand_generator import HandGenerator, build_hand_generator
from handfirst.training.run_folder import costs, ema_weights, notes


def assemble(config: TrainingConfig, out: Path, settings: TwoStageSettings) -> Path:
    """The EMA weights of every phase, as one model folder in diffusers' layout."""
    from transformers import CLIPTextModel

    hand, body = new_hand(config), new_body(config)
    hand.load_state_dict(ema_weights(out, "hand"))
    body.load_state_dict(ema_weights(out, "body"))
    model = TwoStageModel(
        settings=settings,
        tokenizer=Tokenizer.from_file(str(out / "tokenizer.json")),
        text_encoder=CLIPTextModel.from_pretrained(out / "text" / "encoder", local_files_only=True),
        autoencoder=polished_autoencoder(config, out),
        hand=hand,
        body=body,
        training={"phases": costs(out), **notes(out)},
    )
    save_model(model, out / "model")
    return out / "model"


def channels_last(model: Any) -> Any:
    """The memory layout in which convolutions are faster."""
    return model.to(memory_format=torch.channels_last)


def typed(model: Any, kind: type[Any]) -> Any:
    """What `fit` returns is any module; this says which."""
    assert isinstance(model, kind)
    return model


def new_hand(config: TrainingConfig) -> HandGenerator:
    """Fresh weights."""
    settings = config.settings
    hand = build_hand_generator(
        config.hand_unet, settings.latent.channels, settings.condition_channels, settings.latent.factor,
        settings.hand.mask_head,
    )  # fmt: skip
    return typed(channels_last(hand), HandGenerator)  # type: ignore[no-any-return]


def new_body(config: TrainingConfig) -> BodyOutpainter:
    """Fresh weights."""
    settings = config.settings
    unet = build_base_unet(config.body_unet, settings.latent.channels)
    controlnet = build_controlnet(unet, config.controlnet, settings.body.hint_channels)
    return typed(channels_last(BodyOutpainter(unet, controlnet)), BodyOutpainter)  # type: ignore[no-any-return]


def trained_autoencoder(config: TrainingConfig, out: Path) -> Autoencoder:
    """As its own phase left it."""
    model = build_autoencoder(config.autoencoder)
    model.load_state_dict(ema_weights(out, "autoencoder"))
    return model.eval()


def polished_autoencoder(config: TrainingConfig, out: Path) -> Autoencoder:
    """With the decoder of the last phase."""
    model = build_autoencoder(config.autoencoder)
    weights = ema_weights(out, "decoder")
    model.load_state_dict({k.removeprefix("autoencoder."): v for k, v in weights.items() if "critic." not in k})
    return model.eval()
