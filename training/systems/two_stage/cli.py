"""`handfirst train hand` and `handfirst train body`: one stage of a model folder, trained on shards.

Knows nothing about training; heavy imports wait until a command runs.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Compute(StrEnum):
    """What the networks compute in."""

    no = "no"
    bf16 = "bf16"
    fp16 = "fp16"


class Blend(StrEnum):
    """What the kept region of x_t is."""

    noised = "noised"
    clean = "clean"


Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder: of 'handfirst init', or trained.")]
DataSets = Annotated[list[str], typer.Option("--data", metavar="SHARDS[=WEIGHT]", help="Folder of shards; repeatable.")]
Out = Annotated[Path, typer.Option(help="Folder of the run; give it again to go on after an interruption.")]
Config = Annotated[str, typer.Option(help="paper, or the path of a TOML file.")]
HeldOut = Annotated[
    Path | None, typer.Option("--validation", metavar="SHARDS", help="Shards to validate on; default: some of --data.")
]
Steps = Annotated[int | None, typer.Option(min=1, help="Optimizer steps.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Samples per step, over all processes.")]
Accumulate = Annotated[int | None, typer.Option(min=1, help="Parts of a process's share of the batch.")]
Rate = Annotated[float | None, typer.Option(help="Learning rate.")]
ComputeIn = Annotated[Compute | None, typer.Option("--precision", help="What the networks compute in.")]
Lora = Annotated[int | None, typer.Option(min=1, metavar="RANK", help="Train a low-rank adapter instead.")]
Activations = Annotated[bool | None, typer.Option("--checkpoint-activations", help="Less memory, a third slower.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Of the order of samples and all that is drawn.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Processes that read and draw samples.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]


def hand(
    model: Model,
    data: DataSets,
    out: Out,
    config: Config = "paper",
    validation: HeldOut = None,
    steps: Steps = None,
    batch: BatchSize = None,
    accumulate: Accumulate = None,
    lr: Rate = None,
    precision: ComputeIn = None,
    lora: Lora = None,
    checkpoint_activations: Activations = None,
    seed: Seed = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Stage 1, the hand generator, on shards of hand crops; writes OUT/model."""
    changes = {
        "steps": steps, "batch": batch, "accumulate": accumulate, "lr": lr, "precision": precision, "seed": seed,
        "workers": workers, "checkpoint_activations": checkpoint_activations, "adapter": _adapter(lora),
    }  # fmt: skip
    _train("hand", model, data, out, config, validation, changes, quiet)


def body(
    model: Model,
    data: DataSets,
    out: Out,
    config: Config = "paper",
    validation: HeldOut = None,
    steps: Steps = None,
    batch: BatchSize = None,
    accumulate: Accumulate = None,
    lr: Rate = None,
    precision: ComputeIn = None,
    blend_source: Annotated[
        Blend | None, typer.Option(help="The kept region: noised to t, or clean; the model keeps it for inference.")
    ] = None,
    lora: Lora = None,
    checkpoint_activations: Activations = None,
    seed: Seed = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Stage 2, the ControlNet on its frozen base, on shards of whole pictures; writes OUT/model."""
    settings = None if blend_source is None else {"body": {"blend_source": blend_source.value}}
    changes = {
        "steps": steps, "batch": batch, "accumulate": accumulate, "lr": lr, "precision": precision, "seed": seed,
        "workers": workers, "checkpoint_activations": checkpoint_activations, "adapter": _adapter(lora),
        "settings": settings,
    }  # fmt: skip
    _train("body", model, data, out, config, validation, changes, quiet)


def _adapter(rank: int | None) -> dict[str, Any] | None:
    return None if rank is None else {"rank": rank}


def _train(
    stage: str,
    model: Path,
    data: list[str],
    out: Path,
    config: str,
    validation: Path | None,
    changes: dict[str, Any],
    quiet: bool,
) -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from handfirst.training.libraries import quiet as quiet_libraries
    from handfirst.training.loop.machine import EXIT_TERMINATED
    from handfirst.training.systems.two_stage.config import load_options
    from handfirst.training.systems.two_stage.finetune import Data, finetune

    quiet_libraries()
    options = load_options("hand" if stage == "hand" else "body", config, changes)
    folders, weights = zip(*(parse_data(entry) for entry in data), strict=True)
    result = finetune(model, Data(folders, weights, validation), options, out, show=not quiet)
    if result is None:
        print(f"stopped and saved; the same command goes on: {out}", file=sys.stderr)
        raise typer.Exit(EXIT_TERMINATED)
    if os.environ.get("RANK", "0") == "0":  # of several processes the first one speaks
        typer.echo(f"model: {result}")


def parse_data(entry: str) -> tuple[Path, float]:
    """FOLDER or FOLDER=WEIGHT; a folder whose own name ends in =NUMBER is meant as it stands.

    Raises:
        UserError: the weight is not a positive number.
    """
    from handfirst.engines.errors import UserError

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
