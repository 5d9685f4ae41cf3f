"""A training configuration: what the model is, how each network is built, how each phase is trained. One TOML file.

Knows nothing about data or loops. `settings` is the very block that the bundle's manifest will carry.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError
from typing_extensions import TypedDict  # pydantic wants this one on Python 3.11

from handfirst.engines.errors import UserError
from handfirst.runtime.settings import TwoStageSettings
from handfirst.training.loop.options import Block
from handfirst.training.systems.two_stage.options import BodyPhase, HandPhase, PhaseOptions

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
    shipped = resources.files("handfirst.training.systems.two_stage") / "configs" / f"{name}.toml"
    try:
        text = shipped.read_text() if shipped.is_file() else Path(name).read_text()
        return TrainingConfig.model_validate(tomllib.loads(text))
    except OSError as error:
        raise UserError(
            f"no training configuration {str(name)!r}: give demo, sd15 or the path of a TOML file"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{name}: not a TOML file ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{name}: {where}: {first['msg']}") from error
