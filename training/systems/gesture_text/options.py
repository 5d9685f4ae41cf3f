"""How each stage is trained. Defaults: the published programs of Hand1000; the paper does not contradict them.

The phases of the one training are data: which part of the model each one changes is `TRAINS`, how long and how fast it
does are its options. What is not in `TRAINS` stays as it is, bit for bit.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from handfirst.training.loop.options import Precision, ShardOptions

Part = Literal["fusion", "adapter"]


class GestureOptions(ShardOptions):
    """What all stages are told."""

    gesture: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """Which one; every example has to show it."""


class FeatureOptions(GestureOptions):
    """The first stage goes through the examples once, and optimises nothing."""

    steps: int | None = Field(1, ge=1)
    """There are none."""
    points: Literal["given", "mediapipe"] = "given"
    """Whose 21 points: the examples' own, or MediaPipe's of each picture (static, one hand, confidence .5)."""
    centred: bool = False
    """Whether points are counted from the wrist in palm lengths; as published they are parts of the picture's size,
    so that where the hands were in the pictures is part of the feature."""
    words: str | None = Field(None, min_length=1, max_length=200)
    """What the gesture's prompts end in; None: "making the NAME hand gesture"."""
    fusion: Literal["low-rank", "frozen-random"] = "low-rank"
    rank: int = Field(64, ge=1, le=4096)
    """Of the low-rank fusion."""


class PhaseOptions(GestureOptions):
    """A stage of the loop."""

    TRAINS: ClassVar[Part]

    batch: int = Field(1, ge=1)
    warmup: int = Field(0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    ema: float = Field(0.0, ge=0, lt=1)
    precision: Precision = "no"
    share: float = Field(0.7, ge=0, le=1)
    """lambda, the share of the prompt's own embedding; 1 is plain fine-tuning, without any fusion."""
    snr_cap: float = Field(5.0, gt=0)
    """Cap of the loss weight min(SNR + 1, cap) of models that predict x_0."""
    min_snr: float | None = Field(None, gt=0)
    """gamma of min-SNR weights, for models that predict eps or v; None: these are not weighted."""
    text_dropout: float = Field(0.0, ge=0, le=1)
    """Probability of the empty prompt, without a gesture; as published none is dropped."""
    checkpoint_activations: bool = False
    """Computes activations twice instead of keeping them: a third slower, far less memory."""


class EmbeddingOptions(PhaseOptions):
    """The second stage: the diffusion model is frozen."""

    TRAINS: ClassVar[Part] = "fusion"

    steps: int | None = Field(10_000, ge=1)
    lr: float = Field(1e-3, gt=0)


class TuningOptions(PhaseOptions):
    """The third stage: the embedding is frozen, and the UNet's adapter learns (published: the whole UNet, lr 1e-6)."""

    TRAINS: ClassVar[Part] = "adapter"

    steps: int | None = Field(20_000, ge=1)
    lr: float = Field(1e-4, gt=0)
