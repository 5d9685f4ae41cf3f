"""Models of annotated hands before any training: from nothing, by one TOML file; or from Stable Diffusion, widened.

Knows nothing about data or training. `settings` is the very block that the bundle's manifest will carry.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import LatentSettings
from handfirst.runtime.systems.annotated.annotation import Style
from handfirst.runtime.systems.annotated.settings import SYSTEM, AnnotatedSettings, Defaults
from handfirst.training.loop.config import first_complaint, read_toml
from handfirst.training.loop.options import Block
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.folder import autoencoder_class, next_folder, reading, save_words
from handfirst.training.pretrained.folder import read_folder
from handfirst.training.pretrained.stable_diffusion import StableDiffusion
from handfirst.training.systems.annotated.model_folder import save_denoiser
from handfirst.training.systems.annotated.networks import Denoiser, build_denoiser, widen

SHIPPED = {
    name: resources.files("handfirst.training.systems.annotated") / "configs" / f"{name}.toml"
    for name in ("paper", "demo", "latent")
}
UNTRAINED = {"note": "untrained"}


class NetworkConfig(Block):
    """The whole file."""

    settings: AnnotatedSettings
    unet: dict[str, Any]
    """UNet2DModel's arguments."""


def load_config(name: str) -> NetworkConfig:
    """A shipped configuration by its name, or any TOML file by its path.

    Raises:
        UserError: no such file, not TOML, a value that does not fit, or a model that reads text.
    """
    try:
        config = NetworkConfig.model_validate(read_toml(name, SHIPPED))
    except ValidationError as error:
        raise UserError(f"{name}: {first_complaint(error)}") from error
    if config.settings.text is not None:
        raise UserError(f"{name}: settings.text: a model from nothing reads no text; expected none")
    return config


def fresh_model(name: str, vae: Path | None, seed: int, out: Path) -> None:
    """A model folder of a configuration, in mode "latent" with the autoencoder of another model.

    Args:
        name: of a shipped configuration, or the path of one.
        vae: any system's model folder with vae/ and, in its settings, what its latents are.

    Raises:
        UserError: no such configuration, no such model, or they do not fit.
    """
    config = load_config(name)
    if (vae is None) != (config.settings.mode == "pixel"):
        said = "needs an autoencoder; expected --vae MODEL" if vae is None else "has no autoencoder; expected no --vae"
        raise UserError(f"{name}: a model of mode {config.settings.mode} {said}")
    if vae is None:
        new_model(config, None, None, seed, out)
        return
    with reading(vae):
        latent = LatentSettings.model_validate(json.loads((vae / "settings.json").read_text())["latent"])
        autoencoder = Autoencoder(read_folder(autoencoder_class(vae / "vae"), vae / "vae"))
    new_model(config, autoencoder, latent, seed, out)


def new_model(
    config: NetworkConfig, autoencoder: Autoencoder | None, latent: LatentSettings | None, seed: int, out: Path
) -> None:
    """Writes a model folder with fresh weights and, in mode "latent", a trained autoencoder.

    Args:
        latent: the autoencoder's.
        seed: of everything random.

    Raises:
        UserError: the configuration makes no sense to the libraries, or does not fit the latents.
    """
    try:
        settings = AnnotatedSettings.model_validate({**config.settings.model_dump(), "latent": latent})
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            denoiser = build_denoiser(config.unet, settings)
    except ValidationError as error:
        raise UserError(f"the configuration makes no model: {first_complaint(error)}") from error
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"the configuration makes no model: {str(error).splitlines()[0]}") from error
    with next_folder(out) as folder:
        save_denoiser(denoiser, folder)
        if autoencoder is not None:
            autoencoder.model.save_pretrained(folder / "vae")  # type: ignore[operator]
        save_words(SYSTEM, settings, UNTRAINED, folder)


def widened_model(base: StableDiffusion, annotation: Style, size: int, out: Path) -> None:
    """Writes a model folder of a Stable Diffusion checkpoint whose UNet draws an annotation, too.

    It reads text, and until it is trained it draws the checkpoint's pictures.

    Args:
        size: side of its pictures in pixels.

    Raises:
        UserError: a size that does not fit the autoencoder.
    """
    try:
        settings = AnnotatedSettings(
            mode="latent",
            annotation=annotation,
            size=size,
            schedule=base.schedule,
            latent=base.latent,
            text=base.text,
            defaults=Defaults(steps=50, guidance=7.5),
        )
    except ValidationError as error:
        raise UserError(first_complaint(error)) from error
    widen(base.unet, settings.channels)
    with next_folder(out) as folder:
        save_denoiser(Denoiser(base.unet), folder)
        base.vae.save_pretrained(folder / "vae")
        base.text_encoder.save_pretrained(folder / "text_encoder")
        base.tokenizer.save(str(folder / "tokenizer.json"))
        save_words(SYSTEM, settings, UNTRAINED, folder)
