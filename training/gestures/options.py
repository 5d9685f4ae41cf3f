"""What trainings of a gesture are told, of whatever system.

Defaults: the published programs of Hand1000; the paper does not contradict them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from handfirst.training.loop.options import Precision, ShardOptions


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

    def described(self) -> dict[str, Any]:
        """The gesture as a model's settings say it."""
        words = self.words or default_words(self.gesture)
        return {"name": self.gesture, "words": words, "fusion": self.fusion, "rank": self.rank, "seed": self.seed}


class PhaseOptions(GestureOptions):
    """A stage of the loop."""

    batch: int = Field(1, ge=1)
    warmup: int = Field(0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    ema: float = Field(0.0, ge=0, lt=1)
    precision: Precision = "no"
    share: float = Field(0.7, ge=0, le=1)
    """lambda, the share of the prompt's own embedding; 1 is plain fine-tuning, without any fusion."""
    snr_cap: float = Field(5.0, gt=0)
    """Cap of the loss weight min(SNR + 1, cap) of models that predict x_0."""
    checkpoint_activations: bool = False
    """Computes activations twice instead of keeping them: a third slower, far less memory."""


def default_words(name: str) -> str:
    """What a gesture's prompts end in where nobody says."""
    return f"making the {name.replace('_', ' ')} hand gesture"
