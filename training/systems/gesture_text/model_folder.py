"""A model of gestures in words as a folder in diffusers' layout, one sub-folder per network, read one at a time.

    system             the word "gesture-text"
    settings.json      what the model is (GestureTextSettings)
    training.json      what it cost (free form)
    unet/ vae/ text_encoder/ tokenizer.json
    gestures/NAME/     gestures/folder.py; and adapter/ (peft's own form), once trained

Knows nothing about training or export; it only saves and loads.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import GestureSettings
from handfirst.runtime.systems.gesture_text.settings import SYSTEM, GestureTextSettings
from handfirst.training.gestures.folder import (
    FEATURE_FILE,
    find_gesture,
    place_of,
    read_feature,
    read_fusion,
    read_numbers,
    save_fusion,
)
from handfirst.training.models.adapters import CONFIG, has_adapter
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.folder import (
    SystemFolder,
    autoencoder_class,
    config_of,
    next_folder,
    reading,
    save_words,
)
from handfirst.training.pretrained.folder import read_folder
from handfirst.training.systems.gesture_text.fed import Layout

ADAPTER = "adapter"


class GestureTextFolder(SystemFolder[GestureTextSettings]):
    """A model on disk: each network is read when it is asked for, and kept by nobody but the caller.

    Raises:
        UserError: the folder is no such model.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SYSTEM, GestureTextSettings)

    def unet(self) -> UNet2DConditionModel:
        """Without any gesture, in float32, for inference.

        Raises:
            UserError: it is missing or does not fit.
        """
        with reading(self.folder):
            return read_folder(UNet2DConditionModel, self.folder / "unet").eval()

    def outline(self) -> UNet2DConditionModel:
        """The UNet on torch's meta device: shapes and configuration without weights; raises as `unet`."""
        with reading(self.folder), torch.device("meta"):
            return UNet2DConditionModel.from_config(config_of(self.folder / "unet"))

    def autoencoder(self) -> Autoencoder:
        """As `unet`."""
        return read_autoencoder(self.folder)

    def text_encoder(self) -> CLIPTextModel:
        """As `unet`."""
        with reading(self.folder):
            return read_folder(CLIPTextModel, self.folder / "text_encoder").eval()

    def text_outline(self) -> CLIPTextModel:
        """The text encoder without weights; raises as `unet`."""
        with reading(self.folder), torch.device("meta"):
            return CLIPTextModel(CLIPTextConfig.from_pretrained(self.folder / "text_encoder", local_files_only=True))

    def gesture(self, name: str) -> GestureSettings:
        """One of the model's; raises a UserError where it has no such gesture, and lists those there are."""
        return find_gesture(self.settings.gestures, name)

    def feature(self, name: str) -> Tensor:
        """g float32 [63]; raises as `unet`."""
        return torch.from_numpy(read_feature(self.place(name) / FEATURE_FILE))

    def fusion(self, name: str) -> nn.Module:
        """As it was trained, or fresh; raises as `unet`."""
        return read_fusion(self.folder, self.gesture(name), self.settings.text)

    def layout(self) -> Layout:
        """Of the model's adapters.

        Raises:
            UserError: the settings do not fit the UNet.
        """
        said = self.settings.adapter
        layout = Layout.of(self.outline(), said.rank, said.layers)
        if layout.values != said.values:
            raise UserError(f"adapter.values: expected {layout.values} by the UNet, the settings have {said.values}")
        return layout

    def adapter(self, name: str) -> Tensor:
        """A gesture's factors as FedUNet takes them, float32 [P]; zeros where none was trained; raises as `unet`."""
        folder, layout = self.place(name) / ADAPTER, self.layout()
        if not has_adapter(folder):
            return torch.zeros(layout.values)
        with reading(self.folder):
            said = json.loads((folder / CONFIG).read_text())
            scale = float(said["lora_alpha"]) / max(1, int(said["r"]))
            weights = load_file(folder / "adapter_model.safetensors")
            named = {key.removeprefix("base_model.model."): tensor.float() for key, tensor in weights.items()}
            names = {key.rpartition(".lora_")[0] for key in named}
            factors = {n: (named[f"{n}.lora_A.weight"], scale * named[f"{n}.lora_B.weight"]) for n in names}
        return layout.joined(factors)

    def values(self, name: str) -> NDArray[np.float32]:
        """All that a bundle holds of a gesture: g, V, U and the adapter; raises as `unet`."""
        fused = read_numbers(self.folder, self.gesture(name), self.settings.text)
        return torch.cat([fused, self.adapter(name)]).numpy()

    def place(self, name: str) -> Path:
        """The folder of a gesture."""
        return place_of(self.folder, name)


def read_autoencoder(folder: Path) -> Autoencoder:
    """vae/ of a model folder.

    Raises:
        UserError: it is missing, or of a class that an autoencoder may not have.
    """
    with reading(folder):
        return Autoencoder(read_folder(autoencoder_class(folder / "vae"), folder / "vae")).eval()


def save_tuned_for(folder: Path, name: str, fusion: nn.Module) -> None:
    """A gesture's fusion; an adapter that was tuned for another one goes."""
    shutil.rmtree(place_of(folder, name) / ADAPTER, ignore_errors=True)
    save_fusion(folder, name, fusion)


def gather(models: Sequence[Path], out: Path) -> None:
    """One model with the gestures of several, which were trained apart from one start.

    Raises:
        UserError: they are of different models, or a gesture is there twice.
    """
    opened = [GestureTextFolder(model) for model in models]
    settings, training = opened[0].settings, dict(opened[0].training)
    with next_folder(out, models[0]) as folder:
        for other in opened[1:]:
            alone, own = (each.model_copy(update={"gestures": ()}) for each in (settings, other.settings))
            if (
                alone != own
                or (other.folder / "unet/config.json").read_bytes() != (models[0] / "unet/config.json").read_bytes()
            ):
                raise UserError(f"{other.folder}: expected the same model as {models[0]} but for gestures, got another")
            if twice := set(settings.names) & set(other.settings.names):
                raise UserError(f"{other.folder}: expected other gestures than {models[0]} has, got {min(twice)} again")
            for name in other.settings.names:
                shutil.copytree(other.place(name), place_of(folder, name))
            settings = settings.model_copy(update={"gestures": (*settings.gestures, *other.settings.gestures)})
            training |= {key: value for key, value in other.training.items() if key not in training}
        save_words(SYSTEM, settings, training, folder)
