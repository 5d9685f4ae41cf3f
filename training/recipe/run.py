"""One run of the recipe: what was asked for, what its steps share on disk, and the networks that its phases left.

Knows nothing about how anything is trained or in which order (recipe.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import CLIPTextModel

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path
from handfirst.engines.installed import usable_cores
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.data.arrays import Pictures, load_pictures
from handfirst.training.loop.checkpoints import averaged_weights
from handfirst.training.loop.journal import LOSSES, read_journal
from handfirst.training.models.autoencoder import Autoencoder, build_autoencoder
from handfirst.training.recipe.bodies import BodyData, draw_skeletons
from handfirst.training.recipe.hands import HandData
from handfirst.training.systems.two_stage.body_outpainter import BodyOutpainter
from handfirst.training.systems.two_stage.config import PhaseName, TrainingConfig
from handfirst.training.systems.two_stage.hand_generator import HandGenerator
from handfirst.training.systems.two_stage.model_folder import TwoStageModel, save_model
from handfirst.training.systems.two_stage.networks import new_body, new_hand
from handfirst.training.systems.two_stage.options import PhaseOptions

NOTES = "notes.json"
Options = TypeVar("Options", bound=PhaseOptions)
Network = TypeVar("Network", bound=nn.Module)


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
        return usable_cores()


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
        **_pool(arrays, "hand"),
        conditions=load_tensor(arrays / "hand-conditions.pt"),
        masks=torch.from_numpy(hands.hands),
    )


def body_data(recipe: Recipe) -> BodyData:
    """What `prepare` left of the people."""
    arrays = recipe.out / "arrays"
    _, people = pictures(recipe)
    return BodyData(
        **_pool(arrays, "person"),
        canvases=load_tensor(arrays / "person-canvases.pt"),
        skeletons=draw_skeletons(people, arrays / "person-skeletons.npy", 1),
        hands=torch.from_numpy(people.hands),
        reach=load_tensor(arrays / "person-reach.pt"),
    )


def _pool(arrays: Path, kind: str) -> dict[str, Tensor]:
    files = {"latents": f"{kind}-latents.pt", "contexts": f"{kind}-contexts.pt", "empty": "empty.pt"}
    return {name: load_tensor(arrays / file) for name, file in files.items()}


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


def assemble(config: TrainingConfig, out: Path, settings: TwoStageSettings) -> Path:
    """The averaged weights of every phase, as one model folder in diffusers' layout."""
    model = TwoStageModel(
        settings=settings,
        tokenizer=Tokenizer.from_file(str(out / "tokenizer.json")),
        text_encoder=CLIPTextModel.from_pretrained(out / "text" / "encoder", local_files_only=True),
        autoencoder=polished_autoencoder(config, out),
        hand=trained_hand(config, out),
        body=trained_body(config, out),
        training={"phases": costs(out), **notes(out)},
    )
    save_model(model, out / "model")
    return out / "model"


def trained_hand(config: TrainingConfig, out: Path) -> HandGenerator:
    """As its phase saved it last."""
    return _as_saved(new_hand(config), out / "hand")


def trained_body(config: TrainingConfig, out: Path) -> BodyOutpainter:
    """As its phase saved it last."""
    return _as_saved(new_body(config), out / "body")


def trained_autoencoder(config: TrainingConfig, out: Path) -> Autoencoder:
    """As its own phase left it."""
    return _as_saved(build_autoencoder(config.autoencoder), out / "autoencoder")


def _as_saved(model: Network, phase: Path) -> Network:
    model.load_state_dict(averaged_weights(phase))
    return model.eval()


def polished_autoencoder(config: TrainingConfig, out: Path) -> Autoencoder:
    """With the decoder of the last phase."""
    model = trained_autoencoder(config, out)
    name, last = "autoencoder.", averaged_weights(out / "decoder")
    decoder = {key.removeprefix(name): tensor for key, tensor in last.items() if key.startswith(name)}
    model.load_state_dict({**model.state_dict(), **decoder})
    return model
