"""How a stage is trained on shards: every hyper-parameter, and every decision that the paper leaves open, by name.

The defaults are the paper's where it names a value (section IV-A), else those of Stable Diffusion's own training.
Decisions about what the model *is* (blend source, crop margin, sigma of the heat maps, background, mask reduction, ...)
are the model's settings; `settings` changes them for this training, and the trained model carries them on.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["no", "bf16", "fp16"]


class Block(BaseModel):
    """Frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Colours(Block):
    """Changes of colour; see augment.py."""

    shift_probability: float = Field(0.2, ge=0, le=1)
    """HumanSD: half of a choice that is made with probability .4."""
    shift: float = Field(20, ge=0, le=255)
    """Most that is added to a channel, of 255; each channel has its own."""
    contrast_probability: float = Field(0.2, ge=0, le=1)
    contrast: float = Field(0.2, ge=0, le=1)
    """Most that the contrast changes, as a factor."""
    brightness: float = Field(0.2, ge=0, le=1)
    """Most that is added to all channels, as a fraction of 255."""

    @property
    def active(self) -> bool:
        """Whether any picture changes."""
        return self.shift_probability > 0 or self.contrast_probability > 0


class Adapter(Block):
    """Low-rank adapters (LoRA) on the attention of a UNet, in place of training all of it."""

    rank: int = Field(16, ge=1, le=1024)
    alpha: float | None = Field(None, gt=0)
    """Scale of the adapter is alpha / rank; None: alpha = rank."""
    layers: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """Names of the layers that get one, as peft matches them: by the end of their name."""


class Options(Block):
    """What both stages share."""

    steps: int = Field(ge=1)
    """Optimizer steps."""
    batch: int = Field(32, ge=1)
    """Samples per optimizer step, over all processes."""
    accumulate: int = Field(1, ge=1)
    """Parts in which each process takes its share of the batch; changes memory, not the result."""
    seed: int = Field(0, ge=0)
    """Of the order of samples, of everything drawn for them, and of fresh weights."""
    lr: float = Field(1e-5, gt=0)
    warmup: int = Field(500, ge=0)
    """Steps over which the learning rate rises from 0."""
    decay: Literal["constant", "cosine"] = "constant"
    """What the learning rate does afterwards; the cosine ends at 0."""
    optimizer: Literal["adamw", "adafactor"] = "adamw"
    """adafactor keeps no second copy of the weights' size: for little memory."""
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(1e-2, ge=0)
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    ema: float = Field(0.9999, ge=0, lt=1)
    """Decay of the averaged weights, which are the result; 0: the last weights are."""
    precision: Precision = "bf16"
    """What the networks compute in; weights, averages and optimizer stay in float32."""
    checkpoint_activations: bool = False
    """Computes activations twice instead of keeping them: a third slower, far less memory."""
    text_dropout: float = Field(0.1, ge=0, le=1)
    """Probability of the empty prompt, which guidance needs."""
    snr_cap: float = Field(5.0, gt=0)
    """Cap of the loss weight min(SNR + 1, cap) of models that predict x_0; eps and v are not weighted."""
    colours: Colours = Colours()
    adapter: Adapter | None = None
    settings: dict[str, dict[str, Any]] = {}
    """Changes to the model's settings, by block: {"body": {"blend_source": "clean"}}."""
    held_out: float = Field(0.005, gt=0, lt=1)
    """Share of the examples that is kept for validation, where no data set of its own is given for it."""
    validation_samples: int = Field(256, ge=1)
    """Most held-out examples that a validation looks at."""
    validate_every: int = Field(1000, ge=1)
    sheet_samples: int = Field(8, ge=1)
    sheet_steps: int = Field(20, ge=1)
    """Denoising steps of the pictures on a sample sheet."""
    save_every: int = Field(500, ge=1)
    keep: int = Field(2, ge=1)
    """Checkpoints that are kept."""
    log_every: int = Field(10, ge=1)
    workers: int = Field(4, ge=0)
    """Processes that read and draw, per training process; 0: none beside it."""


class HandOptions(Options):
    """Stage 1, the hand generator."""

    steps: int = Field(30_000, ge=1)
    mask_weight: float = Field(0.5, ge=0)
    """lambda of the mask loss (paper, eq. 8)."""
    mask_dropout: float = Field(0.5, ge=0, le=1)
    """Probability of zeroing the condition's mask channel (paper, section III-B)."""


class BodyOptions(Options):
    """Stage 2, the ControlNet on its frozen base (with an adapter: the base's adapter, the ControlNet frozen)."""

    steps: int = Field(6_000, ge=1)
    colours: Colours = Colours(shift_probability=0, contrast_probability=0)
    """The paper changes the colours of hands only."""
    kept_region: Literal["precise", "expanded"] = "precise"
    """Which cells are blended in training: those of the true mask (paper, eq. 11), or of the mask dilated as far as
    the sampler dilates it at that time step (section III-D)."""


FREE = frozenset(
    {"steps", "accumulate", "validation_samples", "validate_every", "sheet_samples", "sheet_steps"}
    | {"save_every", "keep", "log_every", "workers", "checkpoint_activations"}
)
"""What a run may change when it is resumed: none of it changes what a step computes (but for the end of a cosine)."""
