"""A training configuration: what the model is, how each network is built, how each phase is trained. One TOML file.

Knows nothing about data or loops. `settings` is the very block that the bundle's manifest will carry.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handfirst.engines.errors import UserError
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings

PhaseName = Literal["autoencoder", "text", "hand", "base", "body", "decoder", "polish"]


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PhaseOptions(_Block):
    """How one phase is trained. The learning rate warms up over `warmup` steps, then falls as a half cosine."""

    minutes: float = Field(gt=0)
    """Wall time of the phase; the end of the cosine."""
    batch: int = Field(gt=0)
    lr: float = Field(gt=0)
    warmup: int = Field(100, ge=0)
    ema: float = Field(0.999, ge=0, lt=1)
    weight_decay: float = Field(1e-2, ge=0)
    clip: float = Field(1.0, gt=0)
    mask_weight: float = Field(0.5, ge=0)
    """lambda of the mask loss (paper, eq. 5)."""
    mask_dropout: float = Field(0.5, ge=0, le=1)
    """Probability of zeroing the condition's mask channel (paper, section III-B)."""
    text_dropout: float = Field(0.1, ge=0, le=1)
    hint_dropout: float = Field(0.2, ge=0, le=1)
    """Probability of training the base UNet without the ControlNet's residuals (phase "base")."""
    snr_cap: float = Field(5.0, gt=0)
    """Cap of the loss weight min(SNR, cap) under sample prediction."""


class DataOptions(_Block):
    """How many pictures are rendered."""

    hands: int = Field(8000, gt=0)
    people: int = Field(5000, gt=0)
    painted: int = Field(2400, gt=0)
    """How many people are painted again for the last phase."""


class TrainingConfig(_Block):
    """The whole file."""

    settings: TwoStageSettings
    autoencoder: dict[str, Any]
    text_encoder: dict[str, Any]
    text_encoder_training: dict[str, int] = {}
    hand_unet: dict[str, Any]
    body_unet: dict[str, Any]
    controlnet: dict[str, Any] = {}
    data: DataOptions = DataOptions()
    train: dict[PhaseName, PhaseOptions] = {}


def load_config(name: str | Path) -> TrainingConfig:
    """A shipped configuration by its name ("demo", "sd15") or any TOML file by its path.

    Raises:
        UserError: no such file, not TOML, or a value that does not fit.
    """
    shipped = resources.files("handfirst.training") / "configs" / f"{name}.toml"
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
