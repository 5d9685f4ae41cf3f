"""How the denoiser is trained. Defaults: the published training of Annotated Hands; its paper does not contradict it.

Decisions about what the model *is* (channels, classes, schedule) are the model's settings.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from handfirst.training.data.augment import Colours
from handfirst.training.loop.options import Precision, ShardOptions

NONE = Colours(shift_probability=0, contrast_probability=0)


class DenoiserOptions(ShardOptions):
    """The only stage."""

    steps: int | None = Field(700_000, ge=1)
    batch: int = Field(64, ge=1)
    accumulate: int = Field(2, ge=1)
    lr: float = Field(8e-5, gt=0)
    warmup: int = Field(0, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(0.0, ge=0)
    ema: float = Field(0.995, ge=0, lt=1)
    precision: Precision = "no"
    loss: Literal["l1", "l2"] = "l1"
    """Of an error of the prediction, the mean of its size or of its square."""
    min_snr: float | None = Field(None, gt=0)
    """gamma of min-SNR weights, for models that predict eps or v; None: these are not weighted."""
    snr_cap: float = Field(5.0, gt=0)
    """Cap of the loss weight min(SNR + 1, cap) of models that predict x_0."""
    told_dropout: float = Field(0.1, ge=0, le=1)
    """Probability of no label, or of the empty prompt, which guidance needs."""
    label_from: str = Field("gesture", min_length=1)
    """Which attribute of an example is its label; one that is no class of the model's is learnt without."""
    colours: Colours = NONE
    """Changes of colour, of the picture alone."""
    checkpoint_activations: bool = False
    """Computes activations twice instead of keeping them: a third slower, far less memory."""
