"""A trained two-stage model as a folder in diffusers' layout, one sub-folder per network.

    settings.json      what the model is (TwoStageSettings)
    training.json      what it cost (free form)
    tokenizer.json     the tokenizers library's own format
    vae/ text_encoder/ hand_unet/ mask_head/ body_unet/ controlnet/    config.json and safetensors each
    hand_unet_adapter/ body_unet_adapter/    where one was trained: peft's own form, merged whenever the UNet is read
    gestures/NAME/     where the model has some (training/gestures/folder.py)

Read whole by `load_model`, or one network at a time by `ModelFolder`: a full-size model is 10 GB in float32. Knows
nothing about training or export; it only saves and loads.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from handfirst.engines.errors import UserError
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.models.adapters import has_adapter, merge_adapter
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.folder import autoencoder_class, config_of, read_tokenizer, reading
from handfirst.training.pretrained.folder import read_folder
from handfirst.training.systems.two_stage.body_outpainter import BodyOutpainter
from handfirst.training.systems.two_stage.hand_generator import HandGenerator, MaskHead, build_mask_head

MASK_HEAD_FILE = "mask_head.safetensors"
ADAPTER = "_adapter"
"""What the folder of a UNet's adapter is called, after the UNet's own."""

NetworkName = Literal["text_encoder", "hand", "mask_head", "base", "controlnet", "autoencoder"]


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

    def network(self, name: NetworkName) -> Any:
        """One network by its name in the folder."""
        return {
            "text_encoder": self.text_encoder,
            "hand": self.hand,
            "mask_head": self.hand.mask_head,
            "base": self.body.unet,
            "controlnet": self.body.controlnet,
            "autoencoder": self.autoencoder,
        }[name]

    outline = network

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
    for name in ("hand_unet", "body_unet"):  # the weights hold what was merged into them
        shutil.rmtree(folder / f"{name}{ADAPTER}", ignore_errors=True)
    model.autoencoder.model.save_pretrained(folder / "vae")  # type: ignore[operator]
    model.text_encoder.save_pretrained(folder / "text_encoder")
    model.tokenizer.save(str(folder / "tokenizer.json"))
    save_hand(model.hand, folder)
    model.body.unet.save_pretrained(folder / "body_unet")
    model.body.controlnet.save_pretrained(folder / "controlnet")
    save_words(model.settings, model.training, folder)


def save_words(settings: TwoStageSettings, training: dict[str, Any], folder: Path) -> None:
    """training.json and, last, settings.json."""
    (folder / "training.json").write_text(json.dumps(training, indent=1))
    (folder / "settings.json").write_text(settings.model_dump_json(indent=1))


def save_hand(hand: HandGenerator, folder: Path) -> None:
    """Writes hand_unet/ and mask_head/ of a model folder."""
    hand.unet.conv_out = hand.conv_out  # back in its place while saving: a plain diffusers UNet
    try:
        hand.unet.save_pretrained(folder / "hand_unet")
    finally:
        hand.unet.conv_out = nn.Identity()
    save_mask_head(hand.mask_head, folder)


def save_mask_head(head: MaskHead, folder: Path) -> None:
    """Writes mask_head/ of a model folder."""
    (folder / "mask_head").mkdir(exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in head.state_dict().items()}
    save_file(weights, folder / "mask_head" / MASK_HEAD_FILE)


class ModelFolder:
    """A trained model on disk: each network is read when it is asked for, and kept by nobody but the caller.

    Raises:
        UserError: the folder is not a trained model.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "settings.json").is_file():
            raise UserError(f"{folder}: not a trained model (no settings.json); give the folder that training wrote")
        self.folder = folder
        with reading(self.folder):
            self.settings = TwoStageSettings.model_validate_json((folder / "settings.json").read_text(), strict=True)
            self.tokenizer: Tokenizer = read_tokenizer(folder)
            self.training: dict[str, Any] = json.loads((folder / "training.json").read_text())

    def network(self, name: NetworkName) -> Any:
        """Reads one network, in float32, for inference.

        Raises:
            UserError: it is missing or does not fit.
        """
        with reading(self.folder):
            if name == "text_encoder":
                return read_folder(CLIPTextModel, self.folder / name).eval()
            if name == "hand":
                return HandGenerator(self._unet("hand_unet"), self.network("mask_head")).eval()
            if name == "mask_head":
                head = self.outline("mask_head").to_empty(device="cpu")
                head.load_state_dict(load_file(self.folder / "mask_head" / MASK_HEAD_FILE))
                return head.eval()
            if name == "base":
                return self._unet("body_unet").eval()
            if name == "controlnet":
                return read_folder(ControlNetModel, self.folder / "controlnet").eval()
            return Autoencoder(read_folder(autoencoder_class(self.folder / "vae"), self.folder / "vae")).eval()

    def outline(self, name: NetworkName) -> Any:
        """The network of `network`, on torch's meta device: shapes and configuration without weights.

        Raises:
            UserError: its config.json is missing or makes no sense.
        """
        with reading(self.folder), torch.device("meta"):
            if name == "text_encoder":
                return CLIPTextModel(CLIPTextConfig.from_pretrained(self.folder / name, local_files_only=True))
            if name == "hand":
                return HandGenerator(self._blank(UNet2DConditionModel, "hand_unet"), self.outline("mask_head"))
            if name == "mask_head":
                widths = config_of(self.folder / "hand_unet")["block_out_channels"]
                return build_mask_head(widths, self.settings.latent.factor, self.settings.hand.mask_head)
            if name == "base":
                return self._blank(UNet2DConditionModel, "body_unet")
            if name == "controlnet":
                return self._blank(ControlNetModel, "controlnet")
            return Autoencoder(self._blank(autoencoder_class(self.folder / "vae"), "vae"))

    def _unet(self, name: str) -> UNet2DConditionModel:
        """With its adapter merged, if it has one."""
        unet = read_folder(UNet2DConditionModel, self.folder / name)
        adapter = self.folder / f"{name}{ADAPTER}"
        return merge_adapter(unet, adapter) if has_adapter(adapter) else unet

    def _blank(self, kind: Any, name: str) -> Any:
        return kind.from_config(config_of(self.folder / name))


def load_model(folder: Path) -> TwoStageModel:
    """Reads what save_model wrote, all of it.

    Raises:
        UserError: the folder or a part of it is missing or does not fit.
    """
    found = ModelFolder(folder)
    return TwoStageModel(
        settings=found.settings,
        tokenizer=found.tokenizer,
        text_encoder=found.network("text_encoder"),
        autoencoder=found.network("autoencoder"),
        hand=found.network("hand"),
        body=BodyOutpainter(found.network("base"), found.network("controlnet")).eval(),
        training=found.training,
    )
