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

PhaseName = Literal["autoencoder", "text", "hand", "body", "decoder"]


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PhaseOptions(_Block):
    """How one phase is trained. The learning rate warms up over `warmup` steps, then falls as a half cosine."""

    minutes: float = Field(gt=0)
    """Training time of the phase, the end of the cosine: of the GPU, or of each thread of a CPU."""
    batch: int = Field(gt=0)
    lr: float = Field(gt=0)
    """AdamW's."""
    matrix_lr: float | None = Field(None, gt=0)
    """Muon's, for the matrices of hidden layers (optimizers.py); None: AdamW takes all."""
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
    """Probability of training the base UNet without the ControlNet's residuals (phase "body")."""
    snr_cap: float = Field(5.0, gt=0)
    """Cap of the loss weight min(SNR + 1, cap) under sample prediction."""
    compile: bool = False
    """Whether torch compiles the networks first: pays on a GPU, not in the hours of a CPU."""


class DataOptions(_Block):
    """How many pictures are rendered."""

    hands: int = Field(8000, gt=0)
    people: int = Field(5000, gt=0)
    held_out: int = Field(64, gt=0)
    """Hands, and people, that no phase learns from: what the gate and the figures of a run are measured on."""
    painted: int = Field(2400, gt=0)
    """How many hands, and people, are painted again for the decoder."""


class Gate(_Block):
    """What the autoencoder must reach on held-out pictures before the long phases begin (PSNR in dB, 8-bit values)."""

    people_db: float = 32.0
    face_below_hand_db: float = 0.5
    """How much worse the boxes of people's faces may be than those of their hands."""


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
    gate: Gate | None = None
    """None: the autoencoder is taken as it is."""
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
