"""How the two stages are trained: every hyper-parameter, and every decision that the paper leaves open, by name.

Two trainings share what the losses need: the recipe's phases, which make the embedded models from nothing, and
fine-tuning on shards. The defaults of the latter are the paper's where it names a value (section IV-A), else those of
Stable Diffusion's own training. Decisions about what the model *is* (blend source, crop margin, sigma of the heat maps,
background, mask reduction, ...) are the model's settings; `settings` changes them for a training, and the trained model
carries them on.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from handfirst.training.data.augment import Colours
from handfirst.training.loop.options import Block, LoopOptions, Precision


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


class Adapter(Block):
    """Low-rank adapters (LoRA) on the attention of a UNet, in place of training all of it."""

    rank: int = Field(16, ge=1, le=1024)
    alpha: float | None = Field(None, gt=0)
    """Scale of the adapter is alpha / rank; None: alpha = rank."""
    layers: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """Names of the layers that get one, as peft matches them: by the end of their name."""


class FineTuneOptions(LoopOptions, StageTerms):
    """What both stages share when they learn from shards."""

    checkpoint_activations: bool = False
    """Computes activations twice instead of keeping them: a third slower, far less memory."""
    colours: Colours = Colours()
    adapter: Adapter | None = None
    settings: dict[str, dict[str, Any]] = Field({})
    """Changes to the model's settings, by block: {"body": {"blend_source": "clean"}}."""
    held_out: float = Field(0.005, gt=0, lt=1)
    """Share of the examples that is kept for validation, where no data set of its own is given for it."""
    validation_samples: int = Field(256, ge=1)
    """Most held-out examples that a validation looks at."""
    validate_every: int | None = Field(1000, ge=1)
    sheet_samples: int = Field(8, ge=1)
    sheet_steps: int = Field(20, ge=1)
    """Denoising steps of the pictures on a sample sheet."""
    save_every: int | None = Field(500, ge=1)
    workers: int = Field(4, ge=0)
    """Processes that read and draw, per training process; 0: none beside it."""


class HandOptions(FineTuneOptions, HandTerms):
    """Stage 1, the hand generator."""

    steps: int | None = Field(30_000, ge=1)


class BodyOptions(FineTuneOptions):
    """Stage 2, the ControlNet on its frozen base (with an adapter: the base's adapter, the ControlNet frozen)."""

    steps: int | None = Field(6_000, ge=1)
    colours: Colours = Colours(shift_probability=0, contrast_probability=0)
    """The paper changes the colours of hands only."""
    kept_region: Literal["precise", "expanded"] = "precise"
    """Which cells are blended in training: those of the true mask (paper, eq. 11), or of the mask dilated as far as
    the sampler dilates it at that time step (section III-D)."""


FREE = frozenset(
    {"steps", "accumulate", "validation_samples", "validate_every", "validate_minutes", "sheet_samples", "sheet_steps"}
    | {"save_every", "save_minutes", "keep", "log_every", "workers", "checkpoint_activations", "compile"}
)
"""What a run may change when it is resumed: none of it changes what a step computes (but for the end of a cosine)."""
