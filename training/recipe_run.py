"""One run of the recipe: what was asked for, and what its steps share on disk.

Knows nothing about how anything is trained or in which order (recipe.py).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from handfirst.engines.errors import UserError
from handfirst.training import body_training, hand_training
from handfirst.training.data.arrays import Pictures, load_pictures
from handfirst.training.run_folder import load_tensor
from handfirst.training.systems.two_stage.config import PhaseName, TrainingConfig
from handfirst.training.systems.two_stage.options import PhaseOptions

Options = TypeVar("Options", bound=PhaseOptions)


@dataclass(frozen=True)
class Recipe:
    """One run of the recipe.

    Attributes:
        config: the configuration.
        out: the run's folder; everything lies below it.
        scale: factor on every phase's minutes.
        max_steps: steps per phase instead of minutes (tests).
        seed: of weights, batches and captions.
        show: whether to draw progress bars.
        gate: whether a full run stops where its autoencoder misses the configuration's gate.
    """

    config: TrainingConfig
    out: Path
    scale: float = 1.0
    max_steps: int | None = None
    seed: int = 0
    show: bool = True
    gate: bool = True

    @property
    def full(self) -> bool:
        """Whether every phase gets all of its minutes."""
        return self.max_steps is None and self.scale >= 1

    def options(self, phase: PhaseName, kind: type[Options]) -> Options:
        """The phase's options with its minutes scaled."""
        options = self.config.train.get(phase)
        if not isinstance(options, kind):
            raise UserError(f"the configuration has no [train.{phase}] block")
        minutes = None if options.minutes is None else options.minutes * self.scale
        return options.model_copy(update={"minutes": minutes})

    @property
    def workers(self) -> int:
        """Processes for drawing."""
        return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def pictures(recipe: Recipe) -> tuple[Pictures, Pictures]:
    """Hands and people as arrays."""
    shards, cache = recipe.out / "shards", recipe.out / "arrays"
    return load_pictures(shards / "hand", cache / "hand"), load_pictures(shards / "person", cache / "person")


def held_out(recipe: Recipe) -> tuple[Pictures, Pictures]:
    """Hands and people that no phase learns from."""
    shards, cache = recipe.out / "shards", recipe.out / "arrays"
    hands, people = (load_pictures(shards / name, cache / name) for name in ("held-out-hand", "held-out-person"))
    return hands, people


def hand_data(recipe: Recipe) -> hand_training.HandData:
    """What `prepare` left of the hands."""
    arrays = recipe.out / "arrays"
    hands, _ = pictures(recipe)
    return hand_training.HandData(
        latents=load_tensor(arrays / "hand-latents.pt"),
        conditions=load_tensor(arrays / "hand-conditions.pt"),
        masks=torch.from_numpy(hands.hands),
        contexts=load_tensor(arrays / "hand-contexts.pt"),
        empty=load_tensor(arrays / "empty.pt"),
    )


def body_data(recipe: Recipe) -> body_training.BodyData:
    """What `prepare` left of the people."""
    arrays = recipe.out / "arrays"
    _, people = pictures(recipe)
    return body_training.BodyData(
        latents=load_tensor(arrays / "person-latents.pt"),
        canvases=load_tensor(arrays / "person-canvases.pt"),
        skeletons=body_training.draw_skeletons(people, arrays / "person-skeletons.npy", 1),
        hands=torch.from_numpy(people.hands),
        reach=load_tensor(arrays / "person-reach.pt"),
        contexts=load_tensor(arrays / "person-contexts.pt"),
        empty=load_tensor(arrays / "empty.pt"),
    )
