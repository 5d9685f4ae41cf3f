"""An autoencoder by itself: for checkpoints without one, or in place of theirs.

Knows nothing about the rest of a checkpoint.
"""

from __future__ import annotations

from pathlib import Path

from diffusers import AutoencoderKL

from handfirst.engines.errors import UserError
from handfirst.training.pretrained import original
from handfirst.training.pretrained.folder import read_folder
from handfirst.training.pretrained.guard import one_line
from handfirst.training.pretrained.kinds import VAE, part
from handfirst.training.pretrained.weights import Weights, read_weights

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
