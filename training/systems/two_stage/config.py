"""A training configuration: what the model is, how each network is built, how each phase is trained. One TOML file.

Knows nothing about data or loops. `settings` is the very block that the bundle's manifest will carry.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError
from typing_extensions import TypedDict  # pydantic wants this one on Python 3.11

from handfirst.engines.errors import UserError
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.loop.config import first_complaint, merged, read_toml
from handfirst.training.loop.options import Block
from handfirst.training.systems.two_stage.options import (
    BodyOptions,
    BodyPhase,
    FineTuneOptions,
    HandPhase,
    PhaseOptions,
)

PACKAGE = "handfirst.training.systems.two_stage"
SHIPPED = {name: resources.files(PACKAGE) / "configs" / f"{name}.toml" for name in ("demo", "demo-gpu", "sd15")}
PhaseName = Literal["autoencoder", "text", "hand", "body", "decoder"]


class Phases(TypedDict, total=False):
    """The recipe's phases by name."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    autoencoder: PhaseOptions
    text: PhaseOptions
    hand: HandPhase
    body: BodyPhase
    decoder: PhaseOptions


class DataOptions(Block):
    """How many pictures are rendered."""

    hands: int = Field(8000, gt=0)
    people: int = Field(5000, gt=0)
    held_out: int = Field(64, gt=0)
    """Hands, and people, that no phase learns from: what the gate and the figures of a run are measured on."""
    painted: int = Field(2400, gt=0)
    """How many hands, and people, are painted again for the decoder."""


class Gate(Block):
    """What the autoencoder must reach on held-out pictures before the long phases begin (PSNR in dB, 8-bit values)."""

    people_db: float = 32.0
    face_below_hand_db: float = 0.5
    """How much worse the boxes of people's faces may be than those of their hands."""


class TrainingConfig(Block):
    """The whole file."""

    settings: TwoStageSettings
    autoencoder: dict[str, Any]
    text_encoder: dict[str, Any]
    text_encoder_training: dict[str, int] = Field({})
    hand_unet: dict[str, Any]
    body_unet: dict[str, Any]
    controlnet: dict[str, Any] = Field({})
    data: DataOptions = DataOptions()
    gate: Gate | None = None
    """None: the autoencoder is taken as it is."""
    train: Phases = Phases()


def load_config(name: str | Path) -> TrainingConfig:
    """A shipped configuration by its name ("demo", "sd15") or any TOML file by its path.

    Raises:
        UserError: no such file, not TOML, or a value that does not fit.
    """
    try:
        return TrainingConfig.model_validate(read_toml(str(name), SHIPPED))
    except ValidationError as error:
        raise UserError(f"{name}: {first_complaint(error)}") from error


def changed_settings(settings: TwoStageSettings, options: FineTuneOptions) -> TwoStageSettings:
    """The model's settings with the options' changes.

    Raises:
        UserError: a change that makes no sense, or of what the networks were built for.
    """
    if wrong := sorted(set(options.settings) - {"hand", "body", "defaults"}):
        raise UserError(f"settings.{wrong[0]} is part of the networks; training can change settings.hand and .body")
    try:
        changed = TwoStageSettings.model_validate(merged(settings.model_dump(), options.settings))
    except ValidationError as error:
        raise UserError(f"settings: {first_complaint(error)}") from error
    for name, before, after in (
        ("hand.size", settings.hand.size, changed.hand.size),
        ("hand.condition.grid", settings.hand.condition.grid, changed.hand.condition.grid),
        ("hand.condition.fold", settings.hand.condition.fold, changed.hand.condition.fold),
    ):
        if before != after:
            raise UserError(f"settings.{name} is part of the networks: expected {before}, got {after}")
    if isinstance(options, BodyOptions) and changed.hand.mask_head != settings.hand.mask_head:
        raise UserError("settings.hand.mask_head is part of stage 1: change it in 'handfirst train two-stage hand'")
    return changed
