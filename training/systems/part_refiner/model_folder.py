"""A part refiner as a folder in diffusers' layout, one sub-folder per network, read one at a time.

    system             the word "part-refiner"
    settings.json      what the model is (PartRefinerSettings)
    training.json      what it cost (free form)
    main_unet/ reference_unet/ inpaint_unet/ vae/    config.json and safetensors each
    controlnet/        in place of main_unet, reference_unet and image_encoder where settings.drawn_by is control
    pose_guider/       config.json and pose_guider.safetensors
    image_encoder/     transformers' DINOv2, and projector.safetensors beside it
    text_encoder/ and tokenizer.json, or inpaint_context.npy    what the second stage is told

A full-size model is 15 GB in float32. Knows nothing about training or export; it only saves and loads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, Dinov2Config, Dinov2Model

from handfirst.runtime.systems.part_refiner.settings import CONTEXT, SYSTEM, PartRefinerSettings
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.folder import SystemFolder, autoencoder_class, config_of, reading
from handfirst.training.pretrained.folder import read_folder
from handfirst.training.systems.part_refiner.networks import ImageContext, build_pose_guider
from handfirst.training.systems.part_refiner.reference import banked

PROJECTOR, GUIDER = "projector.safetensors", "pose_guider.safetensors"
CONTEXT_FILE = f"{CONTEXT}.npy"

NetworkName = Literal[
    "image_encoder",
    "pose_guider",
    "reference_unet",
    "main_unet",
    "inpaint_unet",
    "controlnet",
    "text_encoder",
    "autoencoder",
]


class PartRefinerFolder(SystemFolder[PartRefinerSettings]):
    """A model on disk: each network is read when it is asked for, and kept by nobody but the caller.

    Raises:
        UserError: the folder is not a part refiner.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SYSTEM, PartRefinerSettings)

    def network(self, name: NetworkName) -> Any:
        """Reads one network, in float32, for inference.

        Raises:
            UserError: it is missing or does not fit.
        """
        folder = self.folder / ("vae" if name == "autoencoder" else name)
        with reading(self.folder):
            if name == "image_encoder":
                image = ImageContext(read_folder(Dinov2Model, folder), self.settings.image_encoder.width)
                image.projector.load_state_dict(load_file(folder / PROJECTOR))
                return image.eval()
            if name == "pose_guider":
                guider = self.outline(name).to_empty(device="cpu")
                guider.load_state_dict(load_file(folder / GUIDER))
                return guider.eval()
            if name == "text_encoder":
                return read_folder(CLIPTextModel, folder).eval()
            if name == "autoencoder":
                return Autoencoder(read_folder(autoencoder_class(folder), folder)).eval()
            if name == "controlnet":
                return read_folder(ControlNetModel, folder).eval()
            unet = read_folder(UNet2DConditionModel, folder).eval()
            return unet if name == "inpaint_unet" else banked(unet)

    def outline(self, name: NetworkName) -> Any:
        """The network of `network`, on torch's meta device: shapes and configuration without weights.

        Raises:
            UserError: its config.json is missing or makes no sense.
        """
        folder = self.folder / ("vae" if name == "autoencoder" else name)
        with reading(self.folder), torch.device("meta"):
            if name == "image_encoder":
                encoder = Dinov2Model(Dinov2Config.from_pretrained(folder, local_files_only=True))
                return ImageContext(encoder, self.settings.image_encoder.width)
            if name == "pose_guider":
                config = config_of(folder)
                return build_pose_guider(config, int(config["conditioning_embedding_channels"]))
            if name == "text_encoder":
                return CLIPTextModel(CLIPTextConfig.from_pretrained(folder, local_files_only=True))
            if name == "autoencoder":
                return Autoencoder(autoencoder_class(folder).from_config(config_of(folder)))
            if name == "controlnet":
                return ControlNetModel.from_config(config_of(folder))
            unet = UNet2DConditionModel.from_config(config_of(folder))
            return unet if name == "inpaint_unet" else banked(unet)

    def context(self) -> Tensor | None:
        """What the second stage of a model without text is told, float32 [L, D]; None: it reads text.

        Raises:
            UserError: it is missing or no such array.
        """
        if self.settings.text is not None:
            return None
        with reading(self.folder):
            found = np.load(self.folder / CONTEXT_FILE, allow_pickle=False)
            if found.ndim != 2 or found.dtype != np.float32:
                raise ValueError(f"{CONTEXT_FILE}: expected float32 [L, D], got {found.dtype} {list(found.shape)}")
        return torch.from_numpy(found)


def save_unet(unet: UNet2DConditionModel, folder: Path, name: str) -> None:
    """main_unet/, reference_unet/ or inpaint_unet/ of a model folder."""
    unet.save_pretrained(folder / name)


def save_image(image: ImageContext, folder: Path) -> None:
    """image_encoder/ of a model folder."""
    image.encoder.save_pretrained(folder / "image_encoder")
    _save(image.projector, folder / "image_encoder" / PROJECTOR)


def save_pose_guider(guider: ControlNetConditioningEmbedding, folder: Path) -> None:
    """pose_guider/ of a model folder."""
    out = folder / "pose_guider"
    out.mkdir(exist_ok=True)
    widths = [guider.conv_in.out_channels, *(block.out_channels for block in guider.blocks[1::2])]
    config = {"conditioning_embedding_channels": guider.conv_out.out_channels, "block_out_channels": widths}
    (out / "config.json").write_text(json.dumps(config, indent=1))
    _save(guider, out / GUIDER)


def save_context(context: Tensor, folder: Path) -> None:
    """inpaint_context.npy of a model folder."""
    np.save(folder / CONTEXT_FILE, context.detach().float().cpu().numpy())


def _save(module: nn.Module, file: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, file)
