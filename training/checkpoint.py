"""A trained two-stage model as a folder in diffusers' layout, one sub-folder per network.

    settings.json      what the model is (TwoStageSettings)
    training.json      what it cost (free form)
    tokenizer.json     the tokenizers library's own format
    vae/ text_encoder/ hand_unet/ mask_head/ body_unet/ controlnet/    config.json and safetensors each

Knows nothing about training or export; it only saves and loads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
from diffusers import ControlNetModel, UNet2DConditionModel
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import CLIPTextModel

from handfirst.engines.errors import UserError
from handfirst.runtime.settings import TwoStageSettings
from handfirst.training.models.autoencoder import CLASSES, Autoencoder
from handfirst.training.models.body_outpainter import BodyOutpainter
from handfirst.training.models.hand_generator import HandGenerator
from handfirst.training.models.mask_head import MaskHead
from handfirst.training.pretrained.folder import read_folder

MASK_HEAD_FILE = "mask_head.safetensors"


@dataclass
class TwoStageModel:
    """All networks of one two-stage model, with what it is and what it cost."""

    settings: TwoStageSettings
    tokenizer: Tokenizer
    text_encoder: CLIPTextModel
    autoencoder: Autoencoder
    hand: HandGenerator
    body: BodyOutpainter
    training: dict[str, Any] = field(default_factory=dict)

    def networks(self) -> dict[str, nn.Module]:
        """The networks by name."""
        return {
            "text_encoder": self.text_encoder,
            "autoencoder": self.autoencoder,
            "hand": self.hand,
            "body": self.body,
        }


def save_model(model: TwoStageModel, folder: Path) -> None:
    """Writes the folder; settings.json last, so that a folder without it is known to be unfinished."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").unlink(missing_ok=True)
    model.autoencoder.model.save_pretrained(folder / "vae")  # type: ignore[operator]
    model.text_encoder.save_pretrained(folder / "text_encoder")
    model.tokenizer.save(str(folder / "tokenizer.json"))
    model.hand.unet.conv_out = model.hand.conv_out  # back in its place while saving: a plain diffusers UNet
    try:
        model.hand.unet.save_pretrained(folder / "hand_unet")
    finally:
        model.hand.unet.conv_out = nn.Identity()
    (folder / "mask_head").mkdir(exist_ok=True)
    head = {name: tensor.contiguous() for name, tensor in model.hand.mask_head.state_dict().items()}
    save_file(head, folder / "mask_head" / MASK_HEAD_FILE)
    model.body.unet.save_pretrained(folder / "body_unet")
    model.body.controlnet.save_pretrained(folder / "controlnet")
    (folder / "training.json").write_text(json.dumps(model.training, indent=1))
    (folder / "settings.json").write_text(model.settings.model_dump_json(indent=1))


def load_model(folder: Path) -> TwoStageModel:
    """Reads what save_model wrote.

    Raises:
        UserError: the folder or a part of it is missing or does not fit.
    """
    if not (folder / "settings.json").is_file():
        raise UserError(f"{folder}: not a trained model (no settings.json); give the folder that training wrote")
    try:
        settings = TwoStageSettings.model_validate_json((folder / "settings.json").read_text())
        vae_class = json.loads((folder / "vae" / "config.json").read_text()).get("_class_name", "AutoencoderKL")
        if vae_class not in CLASSES:
            raise UserError(f"{folder}/vae: class {vae_class!r} is not one of {', '.join(CLASSES)}")
        unet = read_folder(UNet2DConditionModel, folder / "hand_unet")
        head = MaskHead(unet.config.block_out_channels[0], settings.latent.factor)
        head.load_state_dict(load_file(folder / "mask_head" / MASK_HEAD_FILE))
        base = read_folder(UNet2DConditionModel, folder / "body_unet")
        return TwoStageModel(
            settings=settings,
            tokenizer=Tokenizer.from_file(str(folder / "tokenizer.json")),
            text_encoder=read_folder(CLIPTextModel, folder / "text_encoder").eval(),
            autoencoder=Autoencoder(read_folder(getattr(diffusers, vae_class), folder / "vae")).eval(),
            hand=HandGenerator(unet, head).eval(),
            body=BodyOutpainter(base, read_folder(ControlNetModel, folder / "controlnet")).eval(),
            training=json.loads((folder / "training.json").read_text()),
        )
    except (OSError, ValueError, RuntimeError, SafetensorError, ValidationError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{folder}: cannot read the model: {str(error).splitlines()[0]}") from error
