"""`handfirst train demo` and `handfirst train look`: the embedded model from nothing, and how it stands meanwhile.

Heavy imports wait until a command runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from handfirst.training.systems.two_stage.config import Phases
    from handfirst.training.systems.two_stage.options import PhaseOptions


def demo(
    out: Annotated[Path, typer.Argument(help="Folder of the run; give it again to go on after an interruption.")],
    config: Annotated[str, typer.Option(help="demo, demo-gpu, or the path of a TOML file.")] = "demo",
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Training time of all phases; default: the configuration's.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps per phase instead of minutes.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, batches and captions.")] = 0,
    gate: Annotated[
        bool, typer.Option("--gate/--no-gate", help="Stop before the long phases if the autoencoder is too weak.")
    ] = True,
    begun: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="What 'handfirst train carry' wrote of another run.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Everything from nothing: render people, train all networks, write OUT/model."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from handfirst.training.loop.machine import EXIT_TERMINATED, StoppedError
    from handfirst.training.recipe.recipe import run_recipe
    from handfirst.training.recipe.run import Recipe
    from handfirst.training.systems.two_stage.config import load_config

    loaded = load_config(config)
    if begun is not None:
        from handfirst.training.recipe.carry import carry_in

        carry_in(begun, out)
    scale = 1.0 if minutes is None else minutes / total_minutes(loaded.train)
    try:
        folder = run_recipe(Recipe(loaded, out, scale=scale, max_steps=steps, seed=seed, show=not quiet, gate=gate))
    except StoppedError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(EXIT_TERMINATED) from error
    typer.echo(f"model: {folder}")


def carry(
    run: Annotated[Path, typer.Argument(help="Folder of a run of `train demo`, also while it trains.")],
    out: Annotated[Path, typer.Argument(help="Folder for a file a phase.")],
    eight: Annotated[bool, typer.Option("--eight-bits", help="UNets in eight bits a weight: half the size.")] = False,
) -> None:
    """What a run has learnt so far, in half precision: to go on elsewhere with `train demo OUT --from DIR`."""
    from handfirst.training.recipe.carry import carry_out

    for file in carry_out(run, out, 8 if eight else 16):
        print(file)


def look(
    run: Annotated[Path, typer.Argument(help="Folder of a run of `train demo`, also while it trains.")],
    config: Annotated[str, typer.Option(help="The run's own: demo, demo-gpu, or the path of a TOML file.")] = "demo",
) -> None:
    """Draw held-out hands and people with the weights that a run saved last: RUN/look-*.png and figures."""
    import json

    from handfirst.training.recipe.look import look as look_at
    from handfirst.training.recipe.run import Recipe
    from handfirst.training.systems.two_stage.config import load_config

    typer.echo(json.dumps(look_at(Recipe(load_config(config), run)), indent=1))


def total_minutes(phases: Phases) -> float:
    """Training time of all phases; the hand and body branches run side by side."""

    def minutes(phase: PhaseOptions | None) -> float:
        return (phase and phase.minutes) or 0.0

    branches = max(minutes(phases.get("hand")), minutes(phases.get("body")))
    alone = (phases.get("autoencoder"), phases.get("text"), phases.get("decoder"))
    return max(1e-6, branches + sum(minutes(phase) for phase in alone))
