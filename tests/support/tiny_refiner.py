"""A whole part refiner with random weights, small enough to train and export in seconds: 64 px, one level of a UNet."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from support.exports import Exports
from support.tiny_model import AUTOENCODERS

from handfirst.export.options import ExportOptions
from handfirst.runtime.diffusion.settings import LatentSettings, ScheduleSettings
from handfirst.runtime.systems.part_refiner.settings import (
    Defaults,
    ImageEncoderSettings,
    PartRefinerSettings,
    PartSettings,
)
from handfirst.training.models.autoencoder import build_autoencoder
from handfirst.training.systems.part_refiner.config import NetworkConfig, new_model
from handfirst.training.systems.part_refiner.model_folder import save_pose_guider

LATENT = LatentSettings(mean=(0.1, -0.2, 0.0, 0.3), std=(1.0, 1.5, 0.8, 1.2))
_UNET: dict[str, Any] = {
    "block_out_channels": [16], "layers_per_block": 1, "attention_head_dim": 2, "norm_num_groups": 8,
    "mid_block_type": "UNetMidBlock2D",
}  # fmt: skip


def tiny_config(**changes: Any) -> NetworkConfig:
    """Three transformer blocks; `changes` replace settings by name."""
    blocks: dict[str, Any] = {
        "schedule": ScheduleSettings(),
        "latent": LATENT,
        "image_encoder": ImageEncoderSettings(size=28, tokens=5, width=32),
        "text": None,
        "part": PartSettings(size=64),
        "defaults": Defaults(steps=4, guidance=2.0, inpaint_steps=4),
    }
    return NetworkConfig(
        settings=PartRefinerSettings(**{**blocks, **changes}),
        unet={**_UNET, "down_block_types": ["CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D"]},
        pose_guider={"block_out_channels": [4, 4, 4, 8]},
        image_encoder={"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 14},
        inpaint_unet={**_UNET, "down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"],
                      "mid_block_type": "UNetMidBlock2DCrossAttn"},
        inpaint_context=(2, 16),
    )  # fmt: skip


def write_tiny_refiner(folder: Path, **changes: Any) -> Path:
    """A model folder of it; torch's global generator is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        autoencoder = build_autoencoder({"class": "AutoencoderTiny", **AUTOENCODERS["AutoencoderTiny"]})
    new_model(tiny_config(**changes), autoencoder, LATENT, 0, folder)
    return folder


def export_tiny_refiner(folder: Path, exports: Exports) -> None:
    """Writes `model` and `bundle`."""
    exports.export_bundle(write_tiny_refiner(folder / "model"), folder / "bundle", ExportOptions("tiny"))


def write_tiny_control(folder: Path) -> Path:
    """A model folder of the same size that is drawn by control: no first stage, a ControlNet of 16 channels."""
    write_tiny_refiner(folder)
    settings = PartRefinerSettings.model_validate_json((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(settings.model_copy(update={"drawn_by": "control"}).model_dump_json())
    for name in ("main_unet", "reference_unet", "image_encoder", "pose_guider"):
        shutil.rmtree(folder / name)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        control = ControlNetModel(
            **{**_UNET, "mid_block_type": "UNetMidBlock2DCrossAttn"}, down_block_types=["DownBlock2D"],
            cross_attention_dim=16, conditioning_embedding_out_channels=(4, 4, 4, 8),
        )  # fmt: skip
        for layer in (*control.controlnet_down_blocks, control.controlnet_mid_block):
            torch.nn.init.normal_(layer.weight, std=0.1)
        torch.nn.init.normal_(control.controlnet_cond_embedding.conv_out.weight, std=0.1)
    control.save_pretrained(folder / "controlnet")
    save_pose_guider(control.controlnet_cond_embedding, folder)
    return folder
