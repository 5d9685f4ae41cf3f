"""A part refiner from nothing: what the model is and how each network is built, in one TOML file.

Knows nothing about data or training. `settings` is the very block that the bundle's manifest will carry.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import diffusers
import torch
from pydantic import ValidationError

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import LatentSettings
from handfirst.runtime.systems.part_refiner.settings import SYSTEM, PartRefinerSettings
from handfirst.training.loop.config import first_complaint, read_toml
from handfirst.training.loop.options import Block
from handfirst.training.models.autoencoder import CLASSES, Autoencoder
from handfirst.training.models.folder import config_of, next_folder, reading, save_words
from handfirst.training.pretrained.folder import read_folder
from handfirst.training.systems.part_refiner.networks import build_inpainter, build_refiner
from handfirst.training.systems.part_refiner.training import save_inpainter, save_refiner

SHIPPED = {
    name: resources.files("handfirst.training.systems.part_refiner") / "configs" / f"{name}.toml" for name in ("demo",)
}


class NetworkConfig(Block):
    """The whole file."""

    settings: PartRefinerSettings
    unet: dict[str, Any]
    """UNet2DConditionModel's arguments, of both UNets of stage 1."""
    pose_guider: dict[str, Any]
    """Its block_out_channels; the last of them is reached at the latents' size."""
    image_encoder: dict[str, Any]
    """Dinov2Config's arguments."""
    inpaint_unet: dict[str, Any]
    inpaint_context: tuple[int, int]
    """L and D of what stage 2 is always told in place of a text."""


def load_config(name: str) -> NetworkConfig:
    """A shipped configuration by its name, or any TOML file by its path.

    Raises:
        UserError: no such file, not TOML, a value that does not fit, or a model that reads text.
    """
    values = read_toml(name, SHIPPED)
    settings = values.get("settings")
    if isinstance(settings, dict) and settings.setdefault("text", None) is not None:  # TOML has no word for none
        raise UserError(f"{name}: settings.text: a model from nothing reads no text; expected none")
    try:
        return NetworkConfig.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{name}: {first_complaint(error)}") from error


def fresh_model(name: str, trained: Path, seed: int, out: Path) -> None:
    """A model folder of a configuration, with the autoencoder of another model.

    Args:
        name: of a shipped configuration, or the path of one.
        trained: any system's model folder with vae/ and, in its settings, what its latents are.

    Raises:
        UserError: no such configuration, no such model, or they do not fit.
    """
    config = load_config(name)
    autoencoder, latent = read_autoencoder(trained)
    new_model(config, autoencoder, latent, seed, out)


def read_autoencoder(trained: Path) -> tuple[Autoencoder, LatentSettings]:
    """A model folder's, and what its latents are.

    Raises:
        UserError: it has none that can be used.
    """
    with reading(trained):
        latent = LatentSettings.model_validate(json.loads((trained / "settings.json").read_text())["latent"])
        kind = config_of(trained / "vae").get("_class_name", "AutoencoderKL")
        if kind not in CLASSES:
            raise UserError(f"{trained}/vae: class {kind!r} is not one of {', '.join(CLASSES)}")
        return Autoencoder(read_folder(getattr(diffusers, kind), trained / "vae")), latent


def new_model(config: NetworkConfig, autoencoder: Autoencoder, latent: LatentSettings, seed: int, out: Path) -> None:
    """Writes a model folder with fresh weights and a trained autoencoder.

    Args:
        latent: the autoencoder's.
        seed: of everything random.

    Raises:
        UserError: the configuration makes no sense to the libraries, or does not fit the latents.
    """
    settings = config.settings.model_copy(update={"latent": latent})
    try:
        settings = PartRefinerSettings.model_validate(settings.model_dump())
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            encoder = settings.image_encoder
            refiner = build_refiner(
                config.unet, config.pose_guider, config.image_encoder, latent.channels, encoder.size, encoder.width
            )
            inpainter = build_inpainter(config.inpaint_unet, latent.channels, config.inpaint_context)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"the configuration makes no model: {str(error).splitlines()[0]}") from error
    tokens = 1 + (encoder.size // refiner.image.encoder.config.patch_size) ** 2
    if tokens != encoder.tokens:
        raise UserError(f"settings.image_encoder.tokens: expected {tokens} for these patches, got {encoder.tokens}")
    with next_folder(out) as folder:
        save_refiner(refiner, folder)
        save_inpainter(inpainter, folder)
        autoencoder.model.save_pretrained(folder / "vae")  # type: ignore[operator]
        save_words(SYSTEM, settings, {"note": "untrained"}, folder)
