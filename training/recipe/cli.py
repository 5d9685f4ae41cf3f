"""`handfirst train demo`, `look`, `carry` and `repair`: the embedded models from nothing, and how they stand meanwhile.

Heavy imports wait until a command runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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


def repair(
    out: Annotated[Path, typer.Argument(help="Folder of the run; give it again to go on after an interruption.")],
    vae: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Whose autoencoder it shares: a model, a run of `train demo`, or `train carry`'s.",
        ),
    ],
    config: Annotated[str, typer.Option(help="Of the networks: demo, or the path of a TOML file.")] = "demo",
    pairs: Annotated[int, typer.Option(min=2, help="Hands to render, true and spoilt.")] = 5000,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Training time of both stages; default: the configurations'.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps per stage instead of minutes.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any option of both stages' training; repeatable."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render; training is one thread.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and of all that is drawn.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """The small model of `handfirst repair` from nothing: render pairs, train both stages, write OUT/model."""
    import torch

    from handfirst.training.libraries import quiet as quiet_libraries
    from handfirst.training.loop.config import merged, one_change
    from handfirst.training.loop.machine import EXIT_TERMINATED, StoppedError
    from handfirst.training.recipe.repair import RepairRecipe, stage_minutes, train_repair

    quiet_libraries()
    torch.set_num_threads(1)
    said: dict[str, Any] = {}
    for change in changes or []:
        said = merged(said, one_change(change))
    recipe = RepairRecipe(
        out, vae, config, pairs, steps=steps, scale=1.0 if minutes is None else minutes / stage_minutes(), seed=seed,
        changes=said, workers=workers, show=not quiet,
    )  # fmt: skip
    try:
        folder = train_repair(recipe)
    except StoppedError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(EXIT_TERMINATED) from error
    typer.echo(f"model: {folder}")


def total_minutes(phases: Phases) -> float:
    """Training time of all phases; the hand and body branches run side by side."""

    def minutes(phase: PhaseOptions | None) -> float:
        return (phase and phase.minutes) or 0.0

    branches = max(minutes(phases.get("hand")), minutes(phases.get("body")))
    alone = (phases.get("autoencoder"), phases.get("text"), phases.get("decoder"))
    return max(1e-6, branches + sum(minutes(phase) for phase in alone))
