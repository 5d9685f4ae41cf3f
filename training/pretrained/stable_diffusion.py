"""A Stable Diffusion 1.x checkpoint, folder or single file -> its networks, its tokenizer and its settings; and an
autoencoder by itself, for checkpoints without one, or in place of theirs.

Knows nothing about hands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from diffusers import AutoencoderKL, UNet2DConditionModel
from tokenizers import Tokenizer
from transformers import CLIPTextModel

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import LatentSettings, ScheduleSettings, TextSettings
from handfirst.training.pretrained import original
from handfirst.training.pretrained.file_kinds import one_line
from handfirst.training.pretrained.file_schedule import file_clip_skip, file_schedule
from handfirst.training.pretrained.folder import check_pipeline, folder_clip_skip, read_folder
from handfirst.training.pretrained.networks import VAE, part
from handfirst.training.pretrained.schedule import FoundSchedule, read_schedule
from handfirst.training.pretrained.tokenizer import read_tokenizer, text_settings
from handfirst.training.pretrained.weights import Weights, read_metadata, read_weights

Prediction = Literal["epsilon", "v_prediction", "sample"]

SCALE = 0.18215
"""What the latents of Stable Diffusion 1.x are multiplied by; an autoencoder with it speaks their language."""
COLOURS = ((0.3512, 0.3250, -0.2829, -0.2120), (0.2297, 0.4974, 0.1762, -0.2616), (0.3227, 0.2350, 0.2721, -0.7177))
"""Red, green and blue of a latent cell, per scaled channel (ComfyUI, comfy/latent_formats.py)."""


@dataclass(frozen=True)
class Given:
    """What the user says where the files do not, or in place of what they say.

    Attributes:
        tokenizer: folder with vocab.json and merges.txt, or a tokenizer.json; needed for single files, which carry
            none; any diffusers folder of a 1.x model has it under tokenizer/.
        vae: an autoencoder, folder or file.
        prediction: what the UNet predicts.
        skipped: how many of the text encoder's last layers are left out.
    """

    tokenizer: Path | None = None
    vae: Path | None = None
    prediction: Prediction | None = None
    skipped: int | None = None


@dataclass
class StableDiffusion:
    """All of a checkpoint that the two stages start from. Networks are float32 and in evaluation mode.

    `notes` are for the user, a line each: what was read in a way that one might not expect.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: Tokenizer
    schedule: ScheduleSettings
    text: TextSettings
    notes: tuple[str, ...] = ()

    @property
    def latent(self) -> LatentSettings:
        """Of its autoencoder."""
        return latent_of(self.vae)


def latent_of(vae: AutoencoderKL) -> LatentSettings:
    """x = raw * scaling_factor, as mean 0 and std 1 / scaling_factor."""
    config = vae.config
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


def read_stable_diffusion(path: Path, tokenizer: Path | None = None, given: Given | None = None) -> StableDiffusion:
    """Reads a diffusers folder, or a single file (.safetensors, .ckpt) in the original layout.

    Args:
        path: the folder or file.
        tokenizer: short for `given.tokenizer`.
        given: what the files do not say.

    Raises:
        UserError: not there, another version, incomplete, damaged, or trained in a way that is not supported.
    """
    given = given or Given()
    tokenizer = tokenizer or given.tokenizer
    if path.is_dir():
        return _read_folder(path, tokenizer or path / "tokenizer", given)
    if tokenizer is None and path.is_file():
        raise UserError(
            f"{path}: a single file carries no tokenizer; give one with --tokenizer FOLDER "
            "(tokenizer/ of any Stable Diffusion 1.x folder: vocab.json and merges.txt)"
        )
    return _read_file(path, tokenizer, given)


def _read_folder(path: Path, tokenizer: Path, given: Given) -> StableDiffusion:
    check_pipeline(path)
    skipped = folder_clip_skip(path) if given.skipped is None else given.skipped
    return _assemble(
        path,
        unet=read_folder(UNet2DConditionModel, path / "unet"),
        vae=read_vae(given.vae or path / "vae"),
        encoder=read_folder(CLIPTextModel, path / "text_encoder").eval(),
        words=tokenizer,
        schedule=read_schedule(path / "scheduler" / "scheduler_config.json").predicting(given.prediction),
        skipped=skipped,
    )


def _read_file(path: Path, tokenizer: Path | None, given: Given) -> StableDiffusion:
    weights, header = read_weights(path), read_metadata(path)
    assert tokenizer is not None  # a path that is no file was refused by now
    original.check_version(weights, path)
    if given.vae is None and not has_vae(weights):
        raise UserError(
            f"{path}: expected a whole checkpoint, got one without an autoencoder; give one with --vae "
            "(vae/ of any Stable Diffusion 1.x folder, or a file)"
        )
    schedule = file_schedule(weights, header, path).predicting(given.prediction)
    with one_line(path, "not a whole Stable Diffusion 1.x checkpoint", "copy it again"):
        return _assemble(
            path,
            unet=original.read_unet(weights),
            vae=original.read_vae(weights) if given.vae is None else read_vae(given.vae),
            encoder=original.read_text_encoder(weights),
            words=tokenizer,
            schedule=schedule,
            skipped=file_clip_skip(header, path) if given.skipped is None else given.skipped,
        )


def _assemble(
    path: Path,
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    encoder: CLIPTextModel,
    words: Path,
    schedule: FoundSchedule,
    skipped: int,
) -> StableDiffusion:
    """The parts as one, if they fit each other."""
    _check_fit(path, unet, vae, encoder)
    skip_layers(encoder, skipped, path)
    tokenizer = read_tokenizer(words)
    said = (f"{path}: the text encoder's last layers are left out: {skipped} (clip skip {skipped + 1})",)
    return StableDiffusion(
        unet=unet,
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        schedule=schedule.settings,
        text=text_settings(words, tokenizer, encoder),
        notes=schedule.notes + (said if skipped else ()),
    )


def skip_layers(encoder: CLIPTextModel, count: int, path: Path) -> None:
    """Takes the last `count` layers off, in place; the final norm stays, as it does for "clip skip" elsewhere.

    Raises:
        UserError: none would be left.
    """
    layers = getattr(encoder, "text_model", encoder).encoder
    if not 0 <= count < len(layers.layers):
        raise UserError(f"{path}: cannot leave out {count} of the text encoder's {len(layers.layers)} layers")
    if count:
        layers.layers = layers.layers[:-count]
        encoder.config.num_hidden_layers -= count


def _check_fit(path: Path, unet: UNet2DConditionModel, vae: AutoencoderKL, encoder: CLIPTextModel) -> None:
    original.check_inputs(unet.config.in_channels, path)
    pairs: Iterable[tuple[str, Any, Any]] = (
        ("output channels of the UNet", 4, unet.config.out_channels),
        ("channels of the autoencoder's latents", 4, vae.config.latent_channels),
        ("width of the UNet's text", encoder.config.hidden_size, unet.config.cross_attention_dim),
    )
    for what, expected, got in pairs:
        if got != expected:
            raise UserError(f"{path}: {what}: expected {expected}, got {got!s:.40}; give parts of one 1.x checkpoint")
    scale = vae.config.scaling_factor
    if not isinstance(scale, int | float) or not 1e-4 < scale < 1e4:
        raise UserError(f"{path}: the autoencoder's scaling_factor is {scale!r:.40}; give another with --vae")


_HALVES = ("encoder.", "decoder.")


def read_vae(path: Path) -> AutoencoderKL:
    """A diffusers folder (the autoencoder's own, or a whole one), a file of one, or a whole checkpoint's.

    Raises:
        UserError: not there, none in it, or damaged.
    """
    if path.is_dir():
        return read_folder(AutoencoderKL, path if (path / "config.json").is_file() else path / "vae")
    weights = read_weights(path)
    if not has_vae(weights):
        weights = {f"{VAE}{name}": value for name, value in weights.items() if not name.startswith("loss.")}
    if not has_vae(weights):
        raise UserError(f"{path}: expected an autoencoder of Stable Diffusion 1.x, got {part(_bare(weights))}")
    with one_line(path, "not an autoencoder of Stable Diffusion 1.x", "copy it again"):
        return original.read_vae(weights)


def has_vae(weights: Weights) -> bool:
    """Whether an autoencoder, or a part of one, is there as in a whole checkpoint."""
    return any(name.startswith(tuple(VAE + half for half in _HALVES)) for name in weights)


def _bare(weights: Weights) -> list[str]:
    return [name.removeprefix(VAE) for name in weights]
