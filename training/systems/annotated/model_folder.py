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

from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from handfirst.engines.errors import UserError
from handfirst.runtime.systems.annotated.settings import SYSTEM, AnnotatedSettings
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.folder import SystemFolder, autoencoder_class, config_of, reading
from handfirst.training.pretrained.folder import read_folder
from handfirst.training.systems.annotated.networks import Denoiser

LABEL = "label.safetensors"


class AnnotatedFolder(SystemFolder[AnnotatedSettings]):
    """A model on disk: each network is read when it is asked for, and kept by nobody but the caller.

    Raises:
        UserError: the folder is no model of annotated hands.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SYSTEM, AnnotatedSettings)

    def denoiser(self) -> Denoiser:
        """In float32, for inference.

        Raises:
            UserError: it is missing or does not fit.
        """
        place = self.folder / "unet"
        with reading(self.folder):
            made = Denoiser(read_folder(self._unet_class(), place), len(self.settings.classes), self.settings.patch)
            if made.label is not None:
                made.label.load_state_dict(load_file(place / LABEL))
        return made.eval()

    def outline(self) -> Denoiser:
        """The denoiser on torch's meta device: shapes and configuration without weights; raises as `denoiser`."""
        with reading(self.folder), torch.device("meta"):
            unet = self._unet_class().from_config(config_of(self.folder / "unet"))
            return Denoiser(unet, len(self.settings.classes), self.settings.patch)

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


def save_denoiser(denoiser: Denoiser, folder: Path) -> None:
    """unet/ of a model folder."""
    denoiser.unet.save_pretrained(folder / "unet")
    if denoiser.label is not None:
        save_file({"weight": denoiser.label.weight.detach().contiguous()}, folder / "unet" / LABEL)
