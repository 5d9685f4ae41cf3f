"""One run of the recipe: what was asked for, and what its steps share on disk.

Knows nothing about how anything is trained or in which order (recipe.py).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import torch
from torch import Tensor

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path
from handfirst.training.data.arrays import Pictures, load_pictures
from handfirst.training.loop.journal import LOSSES, read_journal
from handfirst.training.recipe.bodies import BodyData, draw_skeletons
from handfirst.training.recipe.hands import HandData
from handfirst.training.systems.two_stage.config import PhaseName, TrainingConfig
from handfirst.training.systems.two_stage.options import PhaseOptions

NOTES = "notes.json"
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
        """The phase's options for this run."""
        options = self.config.train.get(phase)
        if not isinstance(options, kind):
            raise UserError(f"the configuration has no [train.{phase}] block")
        changes: dict[str, Any] = {"seed": self.seed}
        if options.minutes is not None:
            changes["minutes"] = options.minutes * self.scale
        if self.max_steps is not None:
            changes["steps"] = self.max_steps
        return options.model_copy(update=changes)

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


def hand_data(recipe: Recipe) -> HandData:
    """What `prepare` left of the hands."""
    arrays = recipe.out / "arrays"
    hands, _ = pictures(recipe)
    return HandData(
        latents=load_tensor(arrays / "hand-latents.pt"),
        conditions=load_tensor(arrays / "hand-conditions.pt"),
        masks=torch.from_numpy(hands.hands),
        contexts=load_tensor(arrays / "hand-contexts.pt"),
        empty=load_tensor(arrays / "empty.pt"),
    )


def body_data(recipe: Recipe) -> BodyData:
    """What `prepare` left of the people."""
    arrays = recipe.out / "arrays"
    _, people = pictures(recipe)
    return BodyData(
        latents=load_tensor(arrays / "person-latents.pt"),
        canvases=load_tensor(arrays / "person-canvases.pt"),
        skeletons=draw_skeletons(people, arrays / "person-skeletons.npy", 1),
        hands=torch.from_numpy(people.hands),
        reach=load_tensor(arrays / "person-reach.pt"),
        contexts=load_tensor(arrays / "person-contexts.pt"),
        empty=load_tensor(arrays / "empty.pt"),
    )


def save_tensor(file: Path, tensor: Tensor) -> None:
    """Writes a tensor in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as temporary:
        torch.save(tensor.contiguous(), temporary)


def load_tensor(file: Path) -> Tensor:
    """Maps a saved tensor into memory."""
    tensor: Tensor = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    return tensor


def costs(run: Path) -> dict[str, dict[str, float]]:
    """Per phase that ran: steps, samples, minutes and the last losses."""
    out = {}
    for phase in get_args(PhaseName):
        if rows := read_journal(run / phase / LOSSES):
            out[phase] = {**rows[-1], "minutes": round(rows[-1].get("seconds", 0.0) / 60, 1)}
    return out


def notes(run: Path) -> dict[str, Any]:
    """All notes so far."""
    file = run / NOTES
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def add_note(run: Path, key: str, value: Any) -> None:
    """Writes one note beside the others."""
    with atomic_path(run / NOTES) as temporary:
        temporary.write_text(json.dumps({**notes(run), key: value}, indent=1))
