"""How the two stages are trained: every hyper-parameter, and every decision that the paper leaves open, by name.

Two trainings share what the losses need: the recipe's phases, which make the embedded models from nothing, and
fine-tuning on shards. The defaults of the latter are the paper's where it names a value (section IV-A), else those of
Stable Diffusion's own training. Decisions about what the model *is* (blend source, crop margin, sigma of the heat maps,
background, mask reduction, ...) are the model's settings; `settings` changes them for a training, and the trained model
carries them on.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from handfirst.training.data.augment import Colours
from handfirst.training.gestures.options import PhaseOptions as GesturePhase
from handfirst.training.loop.options import Block, LoopOptions, MemoryOptions, Precision, ShardOptions


class StageTerms(Block):
    """What the losses of both stages need."""

    text_dropout: float = Field(0.1, ge=0, le=1)
    """Probability of the empty prompt, which guidance needs."""
    snr_cap: float = Field(5.0, gt=0)
    """Cap of the loss weight min(SNR + 1, cap) of models that predict x_0; eps and v are not weighted."""


class HandTerms(StageTerms):
    """Stage 1, the hand generator."""

    mask_weight: float = Field(0.5, ge=0)
    """lambda of the mask loss (paper, eq. 8)."""
    mask_dropout: float = Field(0.5, ge=0, le=1)
    """Probability of zeroing the condition's mask channel (paper, section III-B)."""


class PhaseOptions(LoopOptions):
    """How a phase of the recipe is trained: for minutes, its rates falling to 2%."""

    warmup: int = Field(100, ge=0)
    decay: Literal["constant", "cosine"] = "cosine"
    floor: float = Field(0.02, ge=0, le=1)
    ema: float = Field(0.999, ge=0, lt=1)
    precision: Precision = "auto"
    log_every: int = Field(25, ge=1)
    validate_minutes: float | None = Field(15, gt=0)
    """Minutes of training between two sample sheets."""
    save_minutes: float | None = Field(1.5, gt=0)


class HandPhase(PhaseOptions, HandTerms):
    """Stage 1 from nothing."""

    validate_minutes: float | None = Field(30, gt=0)


class BodyPhase(PhaseOptions, StageTerms):
    """Stage 2 from nothing, base and ControlNet together."""

    validate_minutes: float | None = Field(30, gt=0)
    hint_dropout: float = Field(0.2, ge=0, le=1)
    """Probability of training the base UNet without the ControlNet's residuals."""


class FineTuneOptions(ShardOptions, MemoryOptions, StageTerms):
    """What both stages share when they learn from shards."""

    colours: Colours = Colours()
    settings: dict[str, dict[str, Any]] = Field({})
    """Changes to the model's settings, by block: {"body": {"blend_source": "clean"}}."""


class HandOptions(FineTuneOptions, HandTerms):
    """Stage 1, the hand generator."""

    steps: int | None = Field(30_000, ge=1)


class EmbeddingOptions(GesturePhase, HandTerms):
    """The fusion of a gesture into the hands' prompts; the hand generator is frozen."""

    steps: int | None = Field(10_000, ge=1)
    lr: float = Field(1e-3, gt=0)
    text_dropout: float = Field(0.0, ge=0, le=0)
    """None is dropped: the empty prompt is never fused, so that nothing would be learnt from it."""
    colours: Colours = Colours(shift_probability=0, contrast_probability=0)


class BodyOptions(FineTuneOptions):
    """Stage 2, the ControlNet on its frozen base (with an adapter: the base's adapter, the ControlNet frozen)."""

    steps: int | None = Field(6_000, ge=1)
    colours: Colours = Colours(shift_probability=0, contrast_probability=0)
    """The paper changes the colours of hands only."""
    buckets: float | tuple[str, ...] | None = None
    """Canvases of several shapes, of which every example gets the one that fits it best: those of the model's area up
    to this ratio of two sides, or these ("448x576", width first). None: the model's own square, as the paper."""

    @field_validator("buckets", mode="before")
    @classmethod
    def _as_prepare_has_them(cls, value: Any) -> Any:
        """Also "512x512,448x576", as `handfirst prepare` takes them."""
        return tuple(value.split(",")) if isinstance(value, str) else value

    kept_region: Literal["precise", "expanded"] = "precise"
    """Which cells are blended in training: those of the true mask (paper, eq. 11), or of the mask dilated as far as
    the sampler dilates it at that time step (section III-D)."""
