"""The embedded part refiner from nothing but this repository and a trained autoencoder: one command, resumable.

    render pairs -> fresh model -> refine -> inpaint -> model folder

What a step leaves on disk is not done again. Minutes are a thread's own time: other work on the machine costs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import LatentSettings
from handfirst.training.data.procedural.writer import PAIR, render_dataset
from handfirst.training.data.shards import open_shards
from handfirst.training.loop.checkpoints import Checkpoints, averaged_weights, pin
from handfirst.training.loop.config import load_options
from handfirst.training.loop.feed import Feed
from handfirst.training.loop.machine import StoppedError
from handfirst.training.loop.options import ShardOptions
from handfirst.training.loop.run import Data, train_stage
from handfirst.training.loop.samples import TrainingSamples
from handfirst.training.loop.task import Stage
from handfirst.training.models.autoencoder import Autoencoder, build_autoencoder, latent_statistics
from handfirst.training.systems import stages_of
from handfirst.training.systems.part_refiner.config import (
    NetworkConfig,
    load_config,
    new_model,
    read_autoencoder,
)
from handfirst.training.systems.part_refiner.kept import kept_feed
from handfirst.training.systems.part_refiner.samples import on_black
from handfirst.training.systems.two_stage.config import load_config as two_stage_config

HELD_OUT = 70_000_000
"""First seed of the pairs that nothing is trained on."""
MEASURED = 256
"""Pairs whose latents give the statistics that latents are standardised by."""
SHARD = 250
"""Pairs of a shard: what a kill loses at most."""
CARRIED = "autoencoder.safetensors"


@dataclass(frozen=True)
class RepairRecipe:
    """One run of the recipe.

    Attributes:
        out: the run's folder; everything lies below it.
        vae: whose autoencoder it shares: a model folder, a run of `train demo`, or what `train carry` wrote.
        config: of the networks: the name of a shipped one, or the path of a TOML file.
        pairs, held_out: how many are rendered to learn from and to look at.
        scale: factor on both stages' minutes.
        steps: a stage instead of minutes.
        changes: of both stages' options, by name.
        workers: processes that render.
        show: whether to draw progress bars.
    """

    out: Path
    vae: Path
    config: str = "demo"
    pairs: int = 5000
    held_out: int = 64
    scale: float = 1.0
    steps: int | None = None
    seed: int = 0
    changes: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 1
    show: bool = True

    def options(self, stage: str) -> ShardOptions:
        """The stage's for this run."""
        kind = stages_of("part-refiner")[stage]
        shipped = load_options(kind.options, kind.configs, "demo", {})
        length = {"steps": self.steps} if self.steps is not None else {"minutes": (shipped.minutes or 0) * self.scale}
        return load_options(kind.options, kind.configs, "demo", {**self.changes, **length, "seed": self.seed})


def train_repair(recipe: RepairRecipe) -> Path:
    """Runs what is not done yet and returns the model's folder.

    Raises:
        UserError: the autoencoder cannot be read, or the run was begun otherwise.
        StoppedError: it was asked to stop; its state is saved.
    """
    out, config = recipe.out, load_config(recipe.config)
    options = {stage: recipe.options(stage) for stage in ("refine", "inpaint")}
    begun = {"config": config.model_dump(mode="json"), "pairs": recipe.pairs, "seed": recipe.seed}
    pin(out, begun, frozenset())
    data = _render(recipe, config.settings.part.size)
    model = out / "fresh"
    if not (model / "settings.json").is_file():
        _fresh(recipe, config, data.folders[0], model)
    for stage, name in (("refine", "refined"), ("inpaint", "model")):
        model = _train(recipe, stage, options[stage], model, data, out / name)
    return model


def stage_minutes() -> float:
    """Training time of both stages, as the shipped configurations have it."""
    kinds = stages_of("part-refiner")
    return sum(load_options(kind.options, kind.configs, "demo", {}).minutes or 0 for kind in kinds.values())


def _render(recipe: RepairRecipe, size: int) -> Data:
    """Shards of pairs, and of those that are held out."""
    shards = recipe.out / "shards"
    for name, first_seed, count in ((PAIR, 0, recipe.pairs), ("held-out", HELD_OUT, recipe.held_out)):
        render_dataset(PAIR, shards / name, count, size, first_seed, recipe.workers, SHARD, recipe.show)
    return Data((shards / PAIR,), (1.0,), shards / "held-out")


def _fresh(recipe: RepairRecipe, config: NetworkConfig, shards: Path, out: Path) -> None:
    """The model with fresh weights. Latents are standardised by the very pictures that it learns from, whole ones as
    the second stage sees them and parts on black as the first does."""
    autoencoder, latent = shared_autoencoder(recipe.vae)
    pairs = open_shards(shards, recipe.out / "index")
    count = min(MEASURED, len(pairs))
    whole = [pairs.read(i * len(pairs) // count) for i in range(count)]
    rows = [rgb for each in whole for rgb in (each.rgb, on_black(each, config.settings))]
    raw = torch.cat([_encoded(autoencoder, torch.from_numpy(rgb)[None]) for rgb in rows])
    mean, std = latent_statistics(raw)
    new_model(config, autoencoder, latent.model_copy(update={"mean": mean, "std": std}), recipe.seed, out)


@torch.no_grad()
def _encoded(autoencoder: Autoencoder, rgb: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] -> raw latents [B, C, h, w]."""
    return autoencoder.encode(rgb.permute(0, 3, 1, 2).float() / 127.5 - 1).float()


def shared_autoencoder(source: Path) -> tuple[Autoencoder, LatentSettings]:
    """A trained autoencoder, and what is known of its latents.

    Args:
        source: a model folder; a run of `train demo`, also while it trains; or what `train carry` wrote of one. The
            latter two are of the shipped configuration "demo".

    Raises:
        UserError: it is none of these, or was made for other shapes.
    """
    if (source / "vae").is_dir():
        autoencoder, latent = read_autoencoder(source)
        return autoencoder.eval(), latent
    demo = two_stage_config("demo")
    model = build_autoencoder(demo.autoencoder)
    try:
        model.load_state_dict(_weights(source))
    except (RuntimeError, SafetensorError, OSError) as error:
        raise UserError(
            f"{source}: not an autoencoder of 'handfirst train demo' ({str(error).splitlines()[0]})"
        ) from error
    return model.eval(), demo.settings.latent


def _weights(source: Path) -> dict[str, Tensor]:
    if (source / CARRIED).is_file():
        return {name: tensor.float() for name, tensor in load_file(source / CARRIED).items()}
    if Checkpoints(source / "autoencoder").steps():
        return averaged_weights(source / "autoencoder")
    raise UserError(
        f"{source}: expected a model folder (vae/), a run of 'handfirst train demo' whose autoencoder has been saved, "
        f"or what 'handfirst train carry' wrote ({CARRIED}); found none of them"
    )


def _train(recipe: RepairRecipe, stage: str, options: ShardOptions, model: Path, data: Data, out: Path) -> Path:
    """One stage in a folder of its name; its model goes to `out`."""
    if (out / "settings.json").is_file():
        return out
    folder, kind = recipe.out / stage, stages_of("part-refiner")[stage]

    def feed_of(networks: Stage, samples: TrainingSamples, accelerator: Accelerator) -> Feed:
        return kept_feed(networks, samples, folder, accelerator, recipe.show)

    trained = train_stage(stage, kind, model, data, options, folder, recipe.show, feed_of)
    if trained is None:
        raise StoppedError(f"stopped and saved; the same command goes on: {recipe.out}")
    trained.rename(out)
    return out
