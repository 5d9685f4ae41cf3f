"""A Stable Diffusion 1.x checkpoint, folder or single file -> its networks, its tokenizer and its settings.

Knows nothing about hands.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel
from pydantic import ValidationError
from tokenizers import Tokenizer
from transformers import CLIPTextModel, CLIPTokenizer

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import LatentSettings, ScheduleSettings, TextSettings
from handfirst.runtime.diffusion.tokenizer_file import plain_tokenizer
from handfirst.training.pretrained import original
from handfirst.training.pretrained.folder import read_folder
from handfirst.training.pretrained.weights import read_weights

SCALE = 0.18215
"""What the latents of Stable Diffusion 1.x are multiplied by; an autoencoder with it speaks their language."""
COLOURS = ((0.3512, 0.3250, -0.2829, -0.2120), (0.2297, 0.4974, 0.1762, -0.2616), (0.3227, 0.2350, 0.2721, -0.7177))
"""Red, green and blue of a latent cell, per scaled channel (ComfyUI, comfy/latent_formats.py)."""


@dataclass
class StableDiffusion:
    """All of a checkpoint that the two stages start from. Networks are float32 and in evaluation mode."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: Tokenizer
    schedule: ScheduleSettings

    @property
    def latent(self) -> LatentSettings:
        """x = raw * scaling_factor, as mean 0 and std 1 / scaling_factor."""
        config = self.vae.config
        channels = int(config.latent_channels)
        factor = 2 ** (len(config.block_out_channels) - 1)
        known = channels == 4 and config.scaling_factor == SCALE
        return LatentSettings(
            channels=channels,
            factor=factor,
            mean=(0.0,) * channels,
            std=(1 / config.scaling_factor,) * channels,
            preview=tuple(tuple(SCALE * weight for weight in row) for row in COLOURS) if known else (),
        )

    @property
    def text(self) -> TextSettings:
        """Length and width of the text encoder, and the tokens that frame a prompt."""
        config = self.text_encoder.config
        begin, end = (self.tokenizer.token_to_id(token) for token in ("<|startoftext|>", "<|endoftext|>"))
        return TextSettings(
            length=config.max_position_embeddings, width=config.hidden_size, begin=begin, end=end, pad=end
        )


def read_stable_diffusion(path: Path, tokenizer: Path | None = None) -> StableDiffusion:
    """Reads a diffusers folder, or a single file (.safetensors, .ckpt) in the original layout.

    Args:
        path: the folder or file.
        tokenizer: folder with vocab.json and merges.txt, or a tokenizer.json; needed for single files, which carry
            none; any diffusers folder of a 1.x model has it under tokenizer/.

    Raises:
        UserError: not there, another version, incomplete or damaged.
    """
    if path.is_dir():
        _check_pipeline(path)
        return StableDiffusion(
            unet=_plain(read_folder(UNet2DConditionModel, path / "unet"), path),
            vae=read_folder(AutoencoderKL, path / "vae"),
            text_encoder=read_folder(CLIPTextModel, path / "text_encoder").eval(),
            tokenizer=read_tokenizer(tokenizer or path / "tokenizer"),
            schedule=_schedule(path / "scheduler" / "scheduler_config.json"),
        )
    if tokenizer is None:
        raise UserError(
            f"{path}: a single file carries no tokenizer; give one with --tokenizer FOLDER "
            "(tokenizer/ of any Stable Diffusion 1.x folder: vocab.json and merges.txt)"
        )
    words, weights = read_tokenizer(tokenizer), read_weights(path)
    original.check_version(weights, path)
    try:
        return StableDiffusion(
            unet=original.read_unet(weights),
            vae=original.read_vae(weights),
            text_encoder=original.read_text_encoder(weights),
            tokenizer=words,
            schedule=ScheduleSettings(),
        )
    except (KeyError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"{path}: not a whole Stable Diffusion 1.x checkpoint ({reason}); copy it again") from error


def read_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer.json, or a folder with one, or with CLIP's vocab.json and merges.txt.

    Raises:
        UserError: none of these is there.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        if file.is_file():
            plain_tokenizer(file.read_bytes())  # raises for what the library could stop at
            return Tokenizer.from_file(str(file))
        if (path / "vocab.json").is_file() and (path / "merges.txt").is_file():
            slow = CLIPTokenizer.from_pretrained(str(path), local_files_only=True)
            return Tokenizer.from_str(slow.backend_tokenizer.to_str())
    except Exception as error:  # the library raises bare Exception
        raise UserError(f"{path}: not a CLIP tokenizer ({str(error).splitlines()[0][:160]})") from error
    raise UserError(f"{path}: expected tokenizer.json, or vocab.json and merges.txt; is the download complete?")


def _plain(unet: UNet2DConditionModel, path: Path) -> UNet2DConditionModel:
    if unet.config.in_channels != 4:
        raise UserError(
            f"{path}: expected a UNet with 4 input channels, got {unet.config.in_channels} "
            "(an inpainting checkpoint?); give the plain one"
        )
    return unet


def _check_pipeline(path: Path) -> None:
    index = path / "model_index.json"
    if not index.is_file():
        raise UserError(f"{path}: expected a diffusers folder with model_index.json, or a single file")
    name = json.loads(index.read_text()).get("_class_name", "nothing")
    if not name.startswith("StableDiffusion") or "XL" in name or "3" in name:
        raise UserError(f"{path}: expected a Stable Diffusion 1.x pipeline, got {name}")


def _schedule(file: Path) -> ScheduleSettings:
    """What scheduler_config.json says, with the names of our settings; SD1.5's values where it is silent or absent."""
    config: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    names = {
        "num_train_timesteps": "train_steps",
        "beta_schedule": "betas",
        "beta_start": "beta_start",
        "beta_end": "beta_end",
        "prediction_type": "prediction",
        "timestep_spacing": "spacing",
        "steps_offset": "steps_offset",
        "set_alpha_to_one": "set_alpha_to_one",
    }
    try:
        return ScheduleSettings(**{ours: config[theirs] for theirs, ours in names.items() if theirs in config})
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{file}: {first['loc'][0]}: {first['msg']}, got {first['input']!r:.60}") from error
