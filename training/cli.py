"""`handfirst train SYSTEM STAGE`: one stage of a model folder, trained on shards; and the recipe's own commands.

Which systems and stages there are, the registry says (systems/__init__.py). Heavy imports wait until a command runs.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from handfirst.engines.errors import UserError
from handfirst.training.recipe.cli import carry, demo, look, repair
from handfirst.training.systems import SYSTEMS, stages_of


class Systems(TyperGroup):
    """A group of commands: one for every system, with its stages as commands; then those that the recipe has."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*SYSTEMS, *self.commands]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The recipe's command, or the system's group."""
        return _system(cmd_name) if cmd_name in SYSTEMS else super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A stage in the place of its system is met with the whole command.

        Raises:
            UserError: it is one.
        """
        if args and args[0] not in self.list_commands(ctx):
            systems = [system for system in SYSTEMS if args[0] in stages_of(system)]
            if systems:
                said = " or ".join(f"handfirst train {system} {args[0]}" for system in systems)
                raise UserError(f"'{args[0]}' is a stage; say its system first: {said}")
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=Systems, help="Train the stages of a model.", no_args_is_help=True)
app.command()(demo)
app.command()(look)
app.command()(carry)
app.command()(repair)


@app.callback()
def _group() -> None:
    """Train the stages of a model."""


class Compute(StrEnum):
    """What the networks compute in."""

    no = "no"
    bf16 = "bf16"
    fp16 = "fp16"


def train(
    ctx: typer.Context,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder: of 'handfirst init', or trained.")],
    data: Annotated[list[str], typer.Option(metavar="SHARDS[=WEIGHT]", help="Folder of shards; repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; give it again to go on after an interruption.")],
    config: Annotated[
        str | None,
        typer.Option(help="paper, or the path of a TOML file.", show_default="the first that the system ships"),
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(metavar="SHARDS", help="Shards to validate on; default: some of --data.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Samples per step, over all processes.")] = None,
    accumulate: Annotated[
        int | None, typer.Option(min=1, help="Parts of a process's share of the batch.", show_default="by memory")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    precision: Annotated[Compute | None, typer.Option(help="What the networks compute in.")] = None,
    lora: Annotated[
        int | None, typer.Option(min=1, metavar="RANK", help="Train a low-rank adapter instead (--set adapter.rank).")
    ] = None,
    checkpoint_activations: Annotated[
        bool | None,
        typer.Option("--checkpoint-activations", help="Less memory, a third slower.", show_default="by memory"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the order of samples and all that is drawn.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that read and draw samples.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any line of the configuration; repeatable."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """One stage of a model folder on shards; writes OUT/model."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from handfirst.training.libraries import quiet as quiet_libraries
    from handfirst.training.loop import run
    from handfirst.training.loop.config import load_options, merged, one_change
    from handfirst.training.loop.machine import EXIT_TERMINATED

    quiet_libraries()
    stage = str(ctx.info_name)
    kind = stages_of(str(ctx.parent.info_name if ctx.parent else ""))[stage]
    said: dict[str, Any] = {
        "steps": steps, "batch": batch, "accumulate": accumulate, "lr": lr, "precision": precision, "seed": seed,
        "workers": workers, "checkpoint_activations": checkpoint_activations,
        "adapter": None if lora is None else {"rank": lora},
    }  # fmt: skip
    for change in changes or []:
        said = merged(said, one_change(change))
    options = load_options(kind.options, kind.configs, config, said)
    folders, weights = zip(*(parse_data(entry) for entry in data), strict=True)
    result = run.train_stage(stage, kind, model, run.Data(folders, weights, validation), options, out, show=not quiet)
    if result is None:
        print(f"stopped and saved; the same command goes on: {out}", file=sys.stderr)
        raise typer.Exit(EXIT_TERMINATED)
    if os.environ.get("RANK", "0") == "0":  # of several processes the first one speaks
        typer.echo(f"model: {result}")


def _system(name: str) -> Any:
    """The group of a system: one and the same command for every stage, which reads its name where it is called."""
    group = typer.Typer(
        help=f"Train a stage of a {name} model.", no_args_is_help=True, rich_markup_mode=app.rich_markup_mode
    )
    group.callback()(_group)
    for stage, kind in stages_of(name).items():
        group.command(stage, help=f"{kind.about} Writes OUT/model.")(train)
    return typer.main.get_group(group)


def parse_data(entry: str) -> tuple[Path, float]:
    """FOLDER or FOLDER=WEIGHT; a folder whose own name ends in =NUMBER is meant as it stands.

    Raises:
        UserError: the weight is not a positive number.
    """
    path, equals, weight = entry.rpartition("=")
    if not equals or Path(entry).exists():
        return Path(entry), 1.0
    try:
        number = float(weight)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise UserError(f"--data {entry}: expected FOLDER=WEIGHT with a positive weight, got {weight!r}")
    return Path(path), number
