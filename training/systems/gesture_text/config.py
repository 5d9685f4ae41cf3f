"""Where a model of gestures in words begins: a Stable Diffusion 1.x, or a UNet of a trained two-stage model.

Knows nothing about data or training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from diffusers import UNet2DConditionModel
from numpy.typing import NDArray
from pydantic import ValidationError
from tokenizers import Tokenizer
from torch import nn
from transformers import CLIPTextModel

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import GestureSettings, LatentSettings, ScheduleSettings, TextSettings
from handfirst.runtime.systems.gesture_text.settings import (
    SYSTEM,
    AdapterSettings,
    Defaults,
    GestureTextSettings,
)
from handfirst.training.gestures.folder import read_feature, save_feature
from handfirst.training.gestures.options import default_words
from handfirst.training.loop.config import first_complaint
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.folder import next_folder, reading, save_words
from handfirst.training.pretrained.folder import read_folder
from handfirst.training.pretrained.stable_diffusion import StableDiffusion
from handfirst.training.systems.gesture_text.fed import Layout
from handfirst.training.systems.gesture_text.model_folder import read_autoencoder

Part = Literal["body", "hand"]
UNTRAINED: dict[str, Any] = {"note": "no gesture was trained"}


@dataclass(frozen=True, eq=False)
class Base:
    """A text-to-image model, whatever it comes from."""

    unet: UNet2DConditionModel
    autoencoder: Autoencoder
    text_encoder: CLIPTextModel
    tokenizer: Tokenizer
    schedule: ScheduleSettings
    latent: LatentSettings
    text: TextSettings
    size: int
    defaults: Defaults

    @classmethod
    def of_checkpoint(cls, base: StableDiffusion, size: int) -> Base:
        """Of Stable Diffusion."""
        return cls(
            base.unet, Autoencoder(base.vae), base.text_encoder, base.tokenizer, base.schedule, base.latent, base.text,
            size, Defaults(),
        )  # fmt: skip

    @classmethod
    def of_folder(cls, folder: Path, part: Part = "body") -> Base:
        """A UNet of a two-stage model folder: "body", the base without its ControlNet, at the side of the canvas; or
        "hand", the hand generator without the channels that tell it a pose, at the side of a hand's picture.

        The second draws what it does without key points, which it has not learnt: stage "base" teaches it.

        Raises:
            UserError: it is no such folder.
        """
        if not (folder / f"{part}_unet").is_dir() or not (folder / "settings.json").is_file():
            raise UserError(
                f"{folder}: expected a trained two-stage model (settings.json, {part}_unet/), or a Stable Diffusion "
                "1.x with --checkpoint"
            )
        with reading(folder):
            said = json.loads((folder / "settings.json").read_text())
            given, latent = said["defaults"], LatentSettings.model_validate(said["latent"])
            of_hand = part == "hand"
            return cls(
                unet=narrowed(read_folder(UNet2DConditionModel, folder / f"{part}_unet"), latent.channels),
                autoencoder=read_autoencoder(folder),
                text_encoder=read_folder(CLIPTextModel, folder / "text_encoder"),
                tokenizer=Tokenizer.from_file(str(folder / "tokenizer.json")),
                schedule=ScheduleSettings.model_validate(said["schedule"]),
                latent=latent,
                text=TextSettings.model_validate(said["text"]),
                size=int(said["hand"]["size"] if of_hand else said["body"]["height"]),
                defaults=Defaults(
                    steps=given["steps"], guidance=given["hand_guidance" if of_hand else "guidance"], eta=given["eta"]
                ),
            )


def narrowed(unet: UNet2DConditionModel, channels: int) -> UNet2DConditionModel:
    """In place: the first input channels alone, as if those behind them were zero."""
    layer = unet.conv_in
    layer.weight, layer.in_channels = nn.Parameter(layer.weight.detach()[:, :channels].clone()), channels
    unet.register_to_config(in_channels=channels)
    return unet


def parse_features(texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """NAME=FILE.npy each -> mean features by gesture.

    Raises:
        UserError: another form, a gesture twice, or a file that is none.
    """
    features: dict[str, NDArray[np.float32]] = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or not file or name in features:
            raise UserError(f"--gesture {text[:80]}: expected NAME=FILE.npy, every name once")
        features[name] = read_feature(Path(file))
    return features


def new_model(
    base: Base, out: Path, rank: int = 4, features: Mapping[str, NDArray[np.float32]] | None = None,
    layers: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0"),
) -> None:  # fmt: skip
    """Writes a model folder with no gesture trained yet.

    Args:
        rank: of the gestures' adapters.
        features: mean features [63] that are known already, by gesture.
        layers: of the UNet, that adapters change.

    Raises:
        UserError: a size, a rank or a gesture's name that makes no sense.
    """
    layout = Layout.of(base.unet, rank, layers)
    try:
        settings = GestureTextSettings(
            size=base.size,
            schedule=base.schedule,
            latent=base.latent,
            text=base.text,
            adapter=AdapterSettings(rank=rank, layers=layers, values=layout.values),
            gestures=tuple(GestureSettings(name=name, words=default_words(name)) for name in features or {}),
            defaults=base.defaults,
        )
    except ValidationError as error:
        raise UserError(first_complaint(error)) from error
    with next_folder(out) as folder:
        base.unet.save_pretrained(folder / "unet")
        base.autoencoder.model.save_pretrained(folder / "vae")  # type: ignore[operator]
        base.text_encoder.save_pretrained(folder / "text_encoder")
        base.tokenizer.save(str(folder / "tokenizer.json"))
        for name, feature in (features or {}).items():
            save_feature(folder, name, feature)
        save_words(SYSTEM, settings, UNTRAINED, folder)
