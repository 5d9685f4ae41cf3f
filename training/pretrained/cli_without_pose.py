"""The verbs of `handfirst init` for models that draw without a pose: annotated hands, and gestures in words.

cli.py lists them beside its own.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Annotation(StrEnum):
    """What is drawn beside a picture."""

    channels = "channels"
    colours = "colours"
    none = "none"


class BasePart(StrEnum):
    """Which UNet of a two-stage model draws without a pose."""

    body = "body"
    hand = "hand"


def init_annotated(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the model; must not exist.")],
    config: Annotated[str, typer.Option(help="demo, paper, latent, or the path of a TOML file.")] = "demo",
    vae: Annotated[
        Path | None, typer.Option(help="A trained model folder, whose autoencoder a model of mode latent shares.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A Stable Diffusion 1.x checkpoint to widen, in place of a configuration; folder or file."),
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder with vocab.json and merges.txt; needed for a single file.")
    ] = None,
    size: Annotated[int, typer.Option(min=64, max=2048, help="With --checkpoint: pixels a side.")] = 512,
    annotation: Annotated[Annotation, typer.Option(help="With --checkpoint: what it draws.")] = Annotation.channels,
    seed: Annotated[int, typer.Option(min=0, help="Of the fresh weights.")] = 0,
) -> None:
    """Make a model that draws hands with their annotation, to be trained: from nothing, or from Stable Diffusion."""
    from handfirst.engines.errors import UserError
    from handfirst.training.libraries import quiet
    from handfirst.training.systems.annotated.config import fresh_model, widened_model

    quiet()
    refuse_existing(out)
    if checkpoint is None:
        fresh_model(config, vae, seed, out)
    elif vae is not None:
        raise UserError("--vae: a checkpoint has its own autoencoder; expected one of --vae and --checkpoint")
    else:
        from handfirst.training.pretrained.stable_diffusion import read_stable_diffusion

        base = read_stable_diffusion(checkpoint, tokenizer)
        for note in base.notes:
            typer.echo(f"note: {note}", err=True)
        widened_model(base, annotation.value, size, out)
    typer.echo(f"model: {out}")


def init_gesture_text(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the model; must not exist.")],
    base: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A trained two-stage model, or a run of `train demo`."),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A Stable Diffusion 1.x checkpoint in its place; folder or file.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder with vocab.json and merges.txt; needed for a single file.")
    ] = None,
    size: Annotated[int, typer.Option(min=64, max=2048, help="With --checkpoint: pixels a side.")] = 512,
    config: Annotated[str, typer.Option(help="Of a run: demo, demo-gpu, or the path of a TOML file.")] = "demo",
    part: Annotated[
        BasePart, typer.Option(help="With --base: body, its base UNet; hand, the hand generator without key points.")
    ] = BasePart.body,
    rank: Annotated[int, typer.Option(min=1, max=256, help="Of every gesture's adapter.")] = 4,
    gesture: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE.npy", help="A gesture whose mean feature is known already; repeatable."),
    ] = None,
) -> None:
    """Make a text-to-image model that learns gestures, of what draws without them."""
    from handfirst.engines.errors import UserError
    from handfirst.training.libraries import quiet
    from handfirst.training.systems.gesture_text.config import Base, new_model, parse_features

    quiet()
    refuse_existing(out)
    features = parse_features(gesture or ())
    if (base is None) == (checkpoint is None):
        raise UserError("expected one of --base and --checkpoint, got " + ("none" if base is None else "both"))
    if checkpoint is not None:
        from handfirst.training.pretrained.stable_diffusion import read_stable_diffusion

        found = read_stable_diffusion(checkpoint, tokenizer)
        for note in found.notes:
            typer.echo(f"note: {note}", err=True)
        begun = Base.of_checkpoint(found, size)
    elif base is not None and (base / "body").is_dir() and part is BasePart.body:
        from handfirst.training.recipe.base import run_base
        from handfirst.training.systems.two_stage.config import load_config

        begun = run_base(load_config(config), base)
    else:
        begun = Base.of_folder(base or Path(), part.value)
    new_model(begun, out, rank, features)
    typer.echo(f"model: {out}")


def refuse_existing(out: Path) -> None:
    """Raises a UserError where there is something already."""
    from handfirst.engines.errors import UserError

    if out.exists():
        raise UserError(f"{out} exists already; choose another place")
