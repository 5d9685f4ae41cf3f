"""What every training is told: how long, how large a batch, which optimizer, when to look, to validate and to save.

A task adds its own fields to these. Knows nothing about files or networks.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Precision = Literal["auto", "no", "bf16", "fp16"]


class Block(BaseModel):
    """Frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LoopOptions(Block):
    """How a task is trained, for a number of steps or of minutes."""

    steps: int | None = Field(None, ge=1)
    """Optimizer steps."""
    minutes: float | None = Field(None, gt=0)
    """Training time: of the GPU, or of each thread of a CPU."""
    batch: int = Field(32, ge=1)
    """Samples per optimizer step, over all processes."""
    accumulate: int | None = Field(None, ge=1)
    """Parts in which each process takes its share of the batch; changes memory, not the result. None: as few as a GPU
    has memory for."""
    memory_gb: float | None = Field(None, gt=0)
    """Memory that a step has to fit into; None: what the GPU has."""
    seed: int = Field(0, ge=0)
    """Of the order of samples, of everything drawn for them, and of fresh weights."""
    lr: float = Field(1e-5, gt=0)
    matrix_lr: float | None = Field(None, gt=0)
    """Muon's, for the matrices of hidden layers (optimizer.py); None: AdamW takes all."""
    warmup: int = Field(500, ge=0)
    """Steps over which the learning rates rise from 0."""
    decay: Literal["constant", "cosine"] = "constant"
    """What they do beside that: the cosine falls over the whole training."""
    floor: float = Field(0.0, ge=0, le=1)
    """What the cosine ends at, as a factor."""
    optimizer: Literal["adamw", "adafactor"] = "adamw"
    """adafactor keeps no second copy of the weights' size: for little memory."""
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(1e-2, ge=0)
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    ema: float = Field(0.9999, ge=0, lt=1)
    """Decay of the averaged weights, which are the result; 0: the last weights are."""
    precision: Precision = "bf16"
    """What the networks compute in; weights, averages and optimizer stay in float32. auto: bf16 where it is fast."""
    compile: bool = False
    """Whether torch compiles the networks first: pays on a GPU, not in the hours of a CPU."""
    tf32: bool = False
    """Whether a GPU multiplies float32 with 10 bits of mantissa: for precision "no", and what stays in float32."""
    attention: Literal["sdpa", "plain"] = "sdpa"
    """torch's fused attention, or products and softmax one after the other: faster for small networks on a CPU in
    bfloat16, slower elsewhere, more memory everywhere (kernels.py)."""
    log_every: int = Field(10, ge=1)
    """Steps between two looks at the losses, the only moments at which anything waits for a GPU."""
    validate_every: int | None = Field(None, ge=1)
    """Steps between two validations, the first of them before any step; there is one at the end in any case."""
    validate_minutes: float | None = Field(None, gt=0)
    """The same in minutes of training, without the first."""
    save_every: int | None = Field(None, ge=1)
    """Steps between two checkpoints; there is one at the end in any case."""
    save_minutes: float | None = Field(None, gt=0)
    keep: int = Field(2, ge=1)
    """Checkpoints that are kept."""

    @model_validator(mode="before")
    @classmethod
    def _minutes_for_steps(cls, given: Any) -> Any:
        """Minutes alone take the place of a default number of steps."""
        alone = isinstance(given, dict) and given.get("minutes") is not None and "steps" not in given
        return {**given, "steps": None} if alone else given

    @property
    def parts(self) -> int:
        """Of a process's share of the batch; one where nobody said and nothing was measured."""
        return self.accumulate or 1

    @model_validator(mode="after")
    def _one_length(self) -> LoopOptions:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("expected steps or minutes, one of them")
        if self.matrix_lr is not None and self.optimizer != "adamw":
            raise ValueError("matrix_lr: Muon works beside adamw only")
        return self


class ShardOptions(LoopOptions):
    """How a stage learns from shards."""

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
    """Processes that read and draw, per training process, at most one for each core; 0: none beside it."""
    keep_latents: bool | None = None
    """Whether what the autoencoder makes of each example is kept on disk, in the run's folder (of stage 2, where
    colours do not change); None: where the training sees its examples more than once."""


class Adapter(Block):
    """Low-rank adapters (LoRA) on the attention of a UNet, in place of training all of it."""

    rank: int = Field(16, ge=1, le=1024)
    alpha: float | None = Field(None, gt=0)
    """Scale of the adapter is alpha / rank; None: alpha = rank."""
    layers: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """Names of the layers that get one, as peft matches them: by the end of their name."""


class MemoryOptions(Block):
    """What lets large networks learn in little memory."""

    checkpoint_activations: bool | None = None
    """Computes activations twice instead of keeping them: a third slower, far less memory. None: where it has to be."""
    adapter: Adapter | None = None


FREE = frozenset(
    {"steps", "validation_samples", "validate_every", "validate_minutes", "sheet_samples", "sheet_steps", "save_every"}
    | {"save_minutes", "keep", "log_every", "workers", "keep_latents", "accumulate", "checkpoint_activations"}
    | {"memory_gb", "compile", "tf32", "attention"}
)
"""What a run may change when it is resumed: none of it changes what a step computes (but for the end of a cosine)."""
