"""Where RealisHuman's checkpoints and the base models beside them lie: found by their names and by what lies in them.

Knows nothing about what is made of them (realishuman.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from handfirst.engines.errors import UserError
from handfirst.training.pretrained.folder import read_json

PartName = Literal["hand", "face"]
DEEPEST = 4
"""How many folders down base models are looked for."""
INPAINTING = 9
"""Input channels: x_t, the mask, the masked latents."""


@dataclass(frozen=True)
class Places:
    """Where each piece lies; None: nowhere.

    Attributes:
        stage1, stage2: RealisHuman's checkpoints.
        base: a Stable Diffusion 1.x checkpoint, folder or file.
        inpainting: one with nine input channels, folder or file.
        dino, vae: DINOv2's folder; an autoencoder, folder or file.
        tokenizer: a folder, where `inpainting` is a file.
        notes: which of several was taken, a line each.
    """

    stage1: Path | None = None
    stage2: Path | None = None
    base: Path | None = None
    inpainting: Path | None = None
    dino: Path | None = None
    vae: Path | None = None
    tokenizer: Path | None = None
    notes: tuple[str, ...] = ()


def find_places(folder: Path, part: PartName, given: Places) -> Places:
    """What lies in a folder, for what is not given.

    Raises:
        UserError: no such folder, or a piece that must be there is not.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a folder with RealisHuman's checkpoints, found nothing")
    found: dict[str, list[Path]] = {}
    for path in _within(folder, DEEPEST):
        for name in _names(path, part):
            found.setdefault(name, []).append(path)
    asked = {name: path for name, path in vars(given).items() if path}
    notes = tuple(
        f"{len(paths)} of the kind '{name}' are in {folder}: {paths[0].name} is taken; --{name} chooses another"
        for name, paths in found.items()
        if len(paths) > 1 and name not in asked
    )
    chosen = replace(Places(**{name: paths[0] for name, paths in found.items()}, notes=notes), **asked)
    if chosen.stage1 is None and chosen.base is None:
        raise UserError(
            f"{folder}: expected checkpoint-stage1-{part}.ckpt, or a Stable Diffusion 1.x folder to begin with, "
            "found neither; give the latter with --base"
        )
    for name, what in (("dino", "DINOv2"), ("vae", "sd-vae-ft-mse"), ("inpainting", "stable-diffusion-inpainting")):
        if getattr(chosen, name) is None:
            raise UserError(f"{folder}: expected {what} in it, found none; give it with --{name}")
    return chosen


def _within(folder: Path, depth: int) -> Iterator[Path]:
    """Everything in a folder, by name, outer things first; links to folders are followed, hidden ones are not."""
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    yield from inside
    if depth:
        for path in inside:
            if path.is_dir():
                yield from _within(path, depth - 1)


def _names(path: Path, part: PartName) -> Iterator[str]:
    """Which of the places this may be."""
    for stage in ("stage1", "stage2"):
        if path.is_file() and path.name == f"checkpoint-{stage}-{part}.ckpt":
            yield stage
    if not path.is_dir():
        return
    config, unet = path / "config.json", path / "unet" / "config.json"
    if config.is_file() and read_json(config).get("model_type") == "dinov2":
        yield "dino"
    if path.name == "sd-vae-ft-mse" and config.is_file():
        yield "vae"
    if unet.is_file():
        yield "inpainting" if read_json(unet).get("in_channels") == INPAINTING else "base"
