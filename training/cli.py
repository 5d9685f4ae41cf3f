"""`handfirst train`: the recipes as commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train the stage models.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Train the stage models."""


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="Folder of the run; give it again to go on after an interruption.")],
    config: Annotated[str, typer.Option(help="demo, or the path of a TOML file.")] = "demo",
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Time for all phases together; default: the configuration's.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps per phase instead of minutes.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Everything from nothing: render people, train all networks, write OUT/model."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from handfirst.training.config import load_config
    from handfirst.training.recipe import Recipe, run_recipe

    loaded = load_config(config)
    scale = 1.0 if minutes is None else minutes / critical_minutes(loaded.train)
    recipe = Recipe(loaded, out, scale=scale, max_steps=steps, seed=seed, show=not quiet)
    folder = run_recipe(recipe)
    typer.echo(f"model: {folder}")


def critical_minutes(phases: dict) -> float:  # type: ignore[type-arg]
    """Wall time of all phases when the two branches run side by side."""
    m = {name: phase.minutes for name, phase in phases.items()}
    branches = max(m.get("hand", 0.0), m.get("base", 0.0) + m.get("body", 0.0))
    return max(1e-6, m.get("autoencoder", 0.0) + m.get("text", 0.0) + branches)
