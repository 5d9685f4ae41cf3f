"""One training run from its arguments to its model folder: data, networks, loop, result.

RUN/options.json     what it was begun with; the same command goes on where it was
RUN/losses.jsonl validation.jsonl sheet-*.png board/       what it says
RUN/checkpoints/     what going on needs
RUN/model/           the result, a model folder as `handfirst export` takes it

Knows nothing about what is trained.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import default_collate

from handfirst.engines.errors import UserError
from handfirst.training.data.buckets import places
from handfirst.training.data.shards import Shards, joined, open_shards, split
from handfirst.training.loop.bucketed import BucketedMixture
from handfirst.training.loop.checkpoints import pin
from handfirst.training.loop.feed import Feed
from handfirst.training.loop.journal import VALIDATION, read_journal
from handfirst.training.loop.kept import KeptSamples, fill
from handfirst.training.loop.loop import Loop
from handfirst.training.loop.machine import leave, make_accelerator
from handfirst.training.loop.memory import fit
from handfirst.training.loop.options import FREE, ShardOptions
from handfirst.training.loop.samples import (
    HeldOutSamples,
    Mixture,
    Order,
    PlacedSamples,
    SampleMaker,
    ShardFeed,
    TrainingSamples,
)
from handfirst.training.loop.task import Stage, trained_parameters
from handfirst.training.loop.validate import Validator
from handfirst.training.system import Counting, StageKind

ENDLESS = 10**12
"""More steps than any training takes."""
FeedMaker = Callable[[Stage, TrainingSamples, Accelerator], Feed]
"""Where batches come from, if not from the shards at every step."""


@dataclass(frozen=True)
class Data:
    """Folders of shards, their weights in the mixture, and shards to validate on (None: a part of the former)."""

    folders: tuple[Path, ...]
    weights: tuple[float, ...]
    held_out: Path | None = None


def train_stage(
    name: str, kind: StageKind, model: Path, data: Data, options: ShardOptions, out: Path, show: bool = True,
    feed_of: FeedMaker | None = None,
) -> Path | None:  # fmt: skip
    """Trains one stage of a model.

    Args:
        name: of the stage.
        kind: of the stage.
        model: a model folder.
        options: of the kind's own class.
        out: of the run; that of an earlier, unfinished run goes on.
        show: whether to draw a progress bar.
        feed_of: another feed than that of samples drawn and encoded at every step.

    Returns:
        The new model's folder; None where the run was asked to stop before its end.

    Raises:
        UserError: a model, shards or options that do not fit; or a run in `out` that was begun otherwise.
    """
    maker = kind.open(model, options)
    accelerator = make_accelerator(options)
    with accelerator.main_process_first():  # the others find the index that the first one made
        sources, held_out = open_data(data, options.held_out, out / "index")
    if isinstance(maker, Counting):
        return _counted(maker, sources, _description(name, model, data, options), out, accelerator)
    if accelerator.is_main_process:
        pin(out, _description(name, model, data, options), FREE)  # once the data is there: a slip pins nothing
    accelerator.wait_for_everyone()
    torch.manual_seed(options.seed)  # of fresh weights
    stage = maker.stage()
    mixture = _order(stage, sources, data.weights, options, accelerator.is_main_process)
    stage.to(accelerator.device)
    samples: PlacedSamples
    if feed_of is None:
        samples = _samples(stage, maker.samples, sources, mixture, options, out, accelerator, show)
        feed: Feed = ShardFeed(samples, options.steps or ENDLESS, stage.encode, options.workers)
    else:
        samples = TrainingSamples(sources, mixture, maker.samples, options.seed)
        feed = feed_of(stage, samples, accelerator)
    validator = _validator(stage, held_out, maker.samples, options)
    options = _fitted(stage, samples, options, accelerator)
    loop = Loop(stage.task, feed, options, out, accelerator, validator, show)
    finished = loop.run()
    if finished and accelerator.is_main_process:
        maker.write(stage, {name: _note(out, stage, loop, options, mixture)}, out / "model")
    leave(accelerator)
    return out / "model" if finished else None


def _order(
    stage: Stage, sources: list[Shards], weights: Sequence[float], options: ShardOptions, say: bool
) -> Order:  # fmt: skip
    """All examples mixed; where they lie in buckets, a batch is out of one, and a line says how many are in each."""
    if not stage.buckets:
        return Mixture([len(shards) for shards in sources], weights, options.seed)
    which = [places(stage.buckets, shards.sizes()) for shards in sources]
    if say:
        counts = np.bincount(np.concatenate(which), minlength=len(stage.buckets))
        told = (f"{w}x{h} {n:,}" for (w, h), n in zip(stage.buckets, counts.tolist(), strict=True))
        print(f"examples by canvas: {', '.join(told)}", file=sys.stderr)
    return BucketedMixture(which, weights, options.seed, options.batch)


def _samples(
    stage: Stage,
    make: SampleMaker,
    sources: list[Shards],
    mixture: Order,
    options: ShardOptions,
    out: Path,
    accelerator: Accelerator,
    show: bool,
) -> PlacedSamples:
    """Of the shards, or of what is kept of them.

    Raises:
        UserError: nothing can be kept although it is asked for.
    """
    again = options.steps is None or options.steps * options.batch > mixture.epoch
    if options.keep_latents or (options.keep_latents is None and again):
        if (keeper := stage.keeper(make)) is not None:
            store, identity = fill(out, keeper, sources, accelerator, options.workers, show)
            return KeptSamples(sources, mixture, keeper.drawer(), options.seed, store, identity)
        if options.keep_latents:
            raise UserError(
                "keep_latents: nothing of this stage's examples can be kept; where colours change, latents change, too"
            )
    return TrainingSamples(sources, mixture, make, options.seed)


def _fitted(stage: Stage, samples: PlacedSamples, options: ShardOptions, accelerator: Accelerator) -> ShardOptions:
    """The options with the parts that fit into memory; says which, in a line.

    Raises:
        UserError: nothing fits.
    """
    device = accelerator.device
    stage.task.to(device)

    def batch(count: int) -> Any:
        stacked = default_collate([samples[place] for place in samples.mixture.alike(count)])
        return stage.encode({name: tensor.to(device) for name, tensor in stacked.items()})

    chosen = fit(stage.task, batch, options, accelerator, getattr(options, "checkpoint_activations", False))
    if chosen.said and accelerator.is_main_process:
        print(chosen.said, file=sys.stderr)
    accelerator.gradient_accumulation_steps = chosen.parts
    return options.model_copy(update={"accumulate": chosen.parts})


def open_data(data: Data, share: float, cache: Path) -> tuple[list[Shards], Shards]:
    """What is trained on, by source, and what is held out.

    Args:
        share: of the examples, to be held out where nothing is yet.
        cache: folder for indices of the shards.
    """
    if data.held_out is not None:
        return [open_shards(_part(folder, "train"), cache) for folder in data.folders], open_shards(
            data.held_out, cache
        )
    parts = [_parts(folder, share, cache) for folder in data.folders]
    return [kept for kept, _ in parts], joined([held for _, held in parts])


def _parts(folder: Path, share: float, cache: Path) -> tuple[Shards, Shards]:
    """What `handfirst prepare` held out stays held out; of other shards a share is."""
    held_out = _part(folder, "val")
    if held_out == folder or not any(held_out.glob("*.tar")):
        return split(open_shards(_part(folder, "train"), cache), share)
    return open_shards(_part(folder, "train"), cache), open_shards(held_out, cache)


def _part(folder: Path, name: str) -> Path:
    """A part of what `handfirst prepare` wrote; any other folder as it is."""
    return folder / name if (folder / "train").is_dir() else folder


def _validator(stage: Stage, held_out: Shards, make: SampleMaker, options: ShardOptions) -> Validator:
    return Validator(
        stage=stage,
        samples=HeldOutSamples(
            held_out,
            make,
            options.validation_samples,
            stage.train_steps,
            which=places(stage.buckets, held_out.sizes()) if stage.buckets else None,
        ),
        size=min(8, options.batch),
        sheet_samples=options.sheet_samples,
        sheet_steps=options.sheet_steps,
        seed=options.seed,
        workers=options.workers,
    )


def _description(stage: str, model: Path, data: Data, options: ShardOptions) -> dict[str, Any]:
    """What a resumed run is compared with."""
    return {
        "stage": stage,
        "model": str(model.absolute()),
        "data": [[str(f.absolute()), w] for f, w in zip(data.folders, data.weights, strict=True)],
        "validation": None if data.held_out is None else str(data.held_out.absolute()),
        **options.model_dump(mode="json"),
    }


def _note(out: Path, stage: Stage, loop: Loop, options: ShardOptions, mixture: Order) -> dict[str, Any]:
    """For the model's training.json: what the training was and what it came to."""
    last, samples = read_journal(out / VALIDATION), loop.clock.step * options.batch
    return {
        "steps": loop.clock.step,
        "samples": samples,
        "epochs": round(samples / mixture.epoch, 2),
        "parameters": trained_parameters(loop.task),
        "validation": last[-1] if last else {},
        **({"canvases": [f"{w}x{h}" for w, h in stage.buckets]} if stage.buckets else {}),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "options": options.model_dump(mode="json"),
    }


def _counted(
    maker: Counting, sources: list[Shards], description: dict[str, Any], out: Path, accelerator: Accelerator
) -> Path:  # fmt: skip
    """A stage without the loop, by the first process."""
    if accelerator.is_main_process:
        pin(out, description, FREE)
        maker.count((shards.read(i) for shards in sources for i in range(len(shards))), out / "model")
    leave(accelerator)
    return out / "model"
