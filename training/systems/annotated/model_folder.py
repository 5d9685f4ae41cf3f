"""A model of annotated hands as a folder in diffusers' layout, one sub-folder per network, read one at a time.

    system             the word "annotated"
    settings.json      what the model is (AnnotatedSettings)
    training.json      what it cost (free form)
    unet/              config.json and safetensors; label.safetensors beside them, where the model knows classes
    vae/               in mode "latent"
    text_encoder/ and tokenizer.json     where it reads text

Knows nothing about training or export; it only saves and loads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import CLIPTextConfig, CLIPTextModel

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.tokenizer_file import plain_tokenizer
from handfirst.runtime.systems.annotated.settings import SYSTEM, AnnotatedSettings
from handfirst.training.models.autoencoder import CLASSES, Autoencoder
from handfirst.training.models.folder import config_of, reading
from handfirst.training.pretrained.folder import read_folder
from handfirst.training.systems.annotated.networks import Denoiser

LABEL = "label.safetensors"


class AnnotatedFolder:
    """A model on disk: each network is read when it is asked for, and kept by nobody but the caller.

    Raises:
        UserError: the folder is no model of annotated hands.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "settings.json").is_file():
            raise UserError(f"{folder}: not a model (no settings.json); give what 'handfirst init' or training wrote")
        system = folder / "system"
        if not system.is_file() or system.read_text(encoding="utf-8").strip() != SYSTEM:
            raise UserError(f"{folder}: expected a model of the system {SYSTEM}, got another one's")
        self.folder = folder
        self.tokenizer: Tokenizer | None = None
        with reading(folder):
            self.settings = AnnotatedSettings.model_validate_json((folder / "settings.json").read_text(), strict=True)
            self.training: dict[str, Any] = json.loads((folder / "training.json").read_text())
            if self.settings.text is not None:
                plain_tokenizer((folder / "tokenizer.json").read_bytes())  # raises for what the library could stop at
                self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def denoiser(self) -> Denoiser:
        """In float32, for inference.

        Raises:
            UserError: it is missing or does not fit.
        """
        place = self.folder / "unet"
        with reading(self.folder):
            made = Denoiser(read_folder(self._unet_class(), place), len(self.settings.classes))
            if made.label is not None:
                made.label.load_state_dict(load_file(place / LABEL))
        return made.eval()

    def outline(self) -> Denoiser:
        """The denoiser on torch's meta device: shapes and configuration without weights; raises as `denoiser`."""
        with reading(self.folder), torch.device("meta"):
            unet = self._unet_class().from_config(config_of(self.folder / "unet"))
            return Denoiser(unet, len(self.settings.classes))

    def autoencoder(self) -> Autoencoder:
        """As `denoiser`; in mode "latent"."""
        place = self.folder / "vae"
        with reading(self.folder):
            return Autoencoder(read_folder(autoencoder_class(place), place)).eval()

    def text_encoder(self) -> CLIPTextModel:
        """As `denoiser`; where the model reads text."""
        with reading(self.folder):
            return read_folder(CLIPTextModel, self.folder / "text_encoder").eval()

    def text_outline(self) -> CLIPTextModel:
        """The text encoder without weights; raises as `denoiser`."""
        with reading(self.folder), torch.device("meta"):
            place = self.folder / "text_encoder"
            return CLIPTextModel(CLIPTextConfig.from_pretrained(place, local_files_only=True))

    def _unet_class(self) -> Any:
        expected = "UNet2DModel" if self.settings.text is None else "UNet2DConditionModel"
        name = config_of(self.folder / "unet").get("_class_name")
        if name != expected:
            raise UserError(f"{self.folder}/unet: expected a {expected} by the settings, got {name!a:.60}")
        return getattr(diffusers, expected)


def autoencoder_class(folder: Path) -> Any:
    """Of a vae/ folder.

    Raises:
        UserError: another class than those that an autoencoder may have.
    """
    name = config_of(folder).get("_class_name", "AutoencoderKL")
    if name not in CLASSES:
        raise UserError(f"{folder}: class {name!r} is not one of {', '.join(CLASSES)}")
    return getattr(diffusers, name)


def save_denoiser(denoiser: Denoiser, folder: Path) -> None:
    """unet/ of a model folder."""
    denoiser.unet.save_pretrained(folder / "unet")
    if denoiser.label is not None:
        save_file({"weight": denoiser.label.weight.detach().contiguous()}, folder / "unet" / LABEL)


def save_words(settings: AnnotatedSettings, training: dict[str, Any], folder: Path) -> None:
    """system, training.json and, last, settings.json: a folder without it is known to be unfinished."""
    (folder / "system").write_text(f"{SYSTEM}\n")
    (folder / "training.json").write_text(json.dumps(training, indent=1))
    (folder / "settings.json").write_text(settings.model_dump_json(indent=1))
