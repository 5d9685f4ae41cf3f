"""How each stage is trained. Defaults: the published programs of Hand1000; the paper does not contradict them.

The phases of the one training are data: which part of the model each one changes is `TRAINS`, how long and how fast it
does are its options. What is not in `TRAINS` stays as it is, bit for bit.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from handfirst.training.gestures.options import PhaseOptions

Part = Literal["fusion", "adapter", "unet"]


class TextPhaseOptions(PhaseOptions):
    """A stage of the loop."""

    TRAINS: ClassVar[Part]

    min_snr: float | None = Field(None, gt=0)
    """gamma of min-SNR weights, for models that predict eps or v; None: these are not weighted."""
    text_dropout: float = Field(0.0, ge=0, le=1)
    """Probability of the empty prompt, without a gesture; as published none is dropped."""


class BaseOptions(TextPhaseOptions):
    """The stage before all others, for a base that draws no good pictures of prompts alone: the whole UNet, no gesture.

    Hand1000 needs none, as it begins with Stable Diffusion; the small models here were trained with a pose beside the
    prompt.
    """

    TRAINS: ClassVar[Part] = "unet"

    gesture: Literal[""] = ""
    share: Literal[1] = 1
    steps: int | None = Field(5000, ge=1)
    batch: int = Field(16, ge=1)
    lr: float = Field(1e-4, gt=0)
    ema: float = Field(0.999, ge=0, lt=1)
    text_dropout: float = Field(0.1, ge=0, le=1)


class EmbeddingOptions(TextPhaseOptions):
    """The second stage: the diffusion model is frozen."""

    TRAINS: ClassVar[Part] = "fusion"

    steps: int | None = Field(10_000, ge=1)
    lr: float = Field(1e-3, gt=0)


class TuningOptions(TextPhaseOptions):
    """The third stage: the embedding is frozen, and the UNet's adapter learns (published: the whole UNet, lr 1e-6)."""

    TRAINS: ClassVar[Part] = "adapter"

    steps: int | None = Field(20_000, ge=1)
    lr: float = Field(1e-4, gt=0)
