"""RealisHuman's public files as its page lays them out, with random weights: narrow, or with `full` of the real sizes.

Names and shapes are written out from its modules (realishuman_unet.py) and from DINOv2's files on the hub.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from support.original_layout import FULL_TRUNK, TRUNK, networks, write_folder
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

DINO = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 56, "patch_size": 14}
FULL_DINO = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 518, "patch_size": 14,
}  # fmt: skip
OLD_NAMES = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
}


def unet_of(seed: int, inputs: int = 4, full: bool = False) -> Any:
    """A UNet of SD1.5's build with so many input channels."""
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UNet2DConditionModel(
            **(FULL_TRUNK if full else TRUNK), in_channels=inputs,
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, sample_size=64,
        ).eval()  # fmt: skip


def pose_guider(full: bool = False) -> ControlNetConditioningEmbedding:
    """Its own widths, or narrow ones; with a last convolution that says something."""
    widths = (16, 32, 96, 256) if full else (8, 16, 24, 32)
    guider = ControlNetConditioningEmbedding(320 if full else 32, 3, widths)
    nn.init.normal_(guider.conv_out.weight, std=0.1)
    return guider


def write_dino(folder: Path, old: bool, full: bool = False) -> Dinov2Model:
    """config.json and pytorch_model.bin, by the hub's old names or by those of transformers 5."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = Dinov2Model(Dinov2Config(**(FULL_DINO if full else DINO))).eval()
    weights = {}
    for name, value in model.state_dict().items():
        for new, before in OLD_NAMES.items() if old else ():
            name = name.replace(f".{new}.", f".{before}.")
        weights[name] = value
    folder.mkdir(parents=True)
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(model.config.to_diff_dict() | {"model_type": "dinov2"}))
    return model


def stage1_weights(main: nn.Module, reference: nn.Module, guider: nn.Module, projector: nn.Module) -> dict[str, Tensor]:
    """What RealisHumanUnet.state_dict() gives."""
    parts = {"unet_main": main, "unet_ref": reference, "pose_guider": guider, "clip_projector": projector}
    return {f"{part}.{name}": value for part, module in parts.items() for name, value in module.state_dict().items()}


def write_checkpoint(file: Path, weights: dict[str, Tensor], wrapped: bool) -> None:
    """As train_stage1.py saves it; `wrapped` as its DDP does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    prefix = "module." if wrapped else ""
    named = {f"{prefix}{name}": value for name, value in weights.items()}
    torch.save({"epoch": 3, "global_step": 50_000, "state_dict": named}, file)


def write_bases(folder: Path, old_dino: bool, full: bool = False) -> None:
    """pretrained_models/ of its page."""
    bases = folder / "pretrained_models"
    write_dino(bases / "DINO" / "dinov2", old_dino, full)
    write_folder(bases / "RV" / "rv-5-1", seed=3, full=full)
    _, vae, _, _ = networks(seed=4, full=full)
    vae.save_pretrained(bases / "StableDiffusion" / "sd-1-5" / "sd-vae-ft-mse")
    inpainting = write_folder(bases / "StableDiffusion" / "stable-diffusion-inpainting", seed=5, full=full)
    unet_of(6, inputs=9, full=full).save_pretrained(inpainting / "unet")
