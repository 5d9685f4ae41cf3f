"""TAESD's decoder, as it lies on disks (madebyollin/taesd): a small stand-in for Stable Diffusion 1.x' VAE decoder.

A diffusers folder (AutoencoderTiny), or one file, of both halves or of the decoder alone, with diffusers' names or its
author's: there the layers are numbered from 1, as the clamp before them counts. The weights do not tell Stable
Diffusion 1.x' from XL's, whose layout is the same.
"""

from __future__ import annotations

import re
from pathlib import Path

from diffusers import AutoencoderTiny
from torch import nn

from handfirst.engines.errors import UserError
from handfirst.training.pretrained.file_kinds import one_line
from handfirst.training.pretrained.folder import read_folder, read_json
from handfirst.training.pretrained.weights import Weights, read_weights

FACTOR = 8
"""Pixels to a latent cell."""
WHAT = "not TAESD's decoder"


def read_tiny_decoder(path: Path, channels: int) -> nn.Module:
    """diffusers' DecoderTiny: latents as the UNet sees them [B, C, h, w] -> image [B, 3, 8 h, 8 w] in about [-1, 1].

    Args:
        channels: of the model's latents.

    Raises:
        UserError: no such file or folder, something else, damaged, or for other latents.
    """
    model = _folder(path) if path.is_dir() else _file(path)
    takes = model.config.latent_channels
    if takes != channels:
        raise UserError(f"{path}: expected a small decoder of {channels} latent channels, got one of {takes}")
    decoder: nn.Module = model.decoder.eval()
    return decoder


def _folder(path: Path) -> AutoencoderTiny:
    name = read_json(path / "config.json").get("_class_name") if (path / "config.json").is_file() else "no config.json"
    if name != "AutoencoderTiny":
        raise UserError(f"{path}: expected a diffusers folder of AutoencoderTiny (taesd), got {name!r:.40}")
    return read_folder(AutoencoderTiny, path)


def _file(path: Path) -> AutoencoderTiny:
    weights = decoder_names(read_weights(path))
    first = weights.get("layers.0.weight")
    if first is None or first.ndim != 4:
        raise UserError(f"{path}: {WHAT}; give taesd_decoder.safetensors, or the folder of madebyollin/taesd")
    model = AutoencoderTiny(latent_channels=first.shape[1])
    with one_line(path, WHAT, "give taesd_decoder.safetensors, or the folder of madebyollin/taesd"):
        model.decoder.load_state_dict({name: value.float() for name, value in weights.items()})
    return model


def decoder_names(weights: Weights) -> Weights:
    """The decoder's tensors by diffusers' names ("layers.0.weight"), whichever names they have."""
    own = {name.removeprefix("decoder."): value for name, value in weights.items() if not name.startswith("encoder.")}
    numbered = {re.sub(r"^\d+", lambda found: f"layers.{int(found[0]) - 1}", name): v for name, v in own.items()}
    return {name: value for name, value in numbered.items() if name.startswith("layers.")}
