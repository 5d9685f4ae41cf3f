"""How the two stages are trained. Defaults: RealisHuman's released configurations, which its paper does not contradict.

Decisions about what the model *is* (thresholds, widths of the ring, the reference's time) are the model's settings.
"""

from __future__ import annotations

from pydantic import Field

from handfirst.training.data.augment import Colours
from handfirst.training.loop.options import ShardOptions

NONE = Colours(shift_probability=0, contrast_probability=0)


class RefinerOptions(ShardOptions):
    """What both stages share."""

    lr: float = Field(5e-5, gt=0)
    warmup: int = Field(5000, ge=0)
    ema: float = Field(0.0, ge=0, lt=1)
    min_snr: float | None = Field(5.0, gt=0)
    """gamma of min-SNR weights, for models that predict eps or v; None: these are not weighted."""
    snr_cap: float = Field(5.0, gt=0)
    """Cap of the loss weight min(SNR + 1, cap) of models that predict x_0."""
    colours: Colours = NONE
    """Changes of colour, the same for both pictures of a pair."""
    checkpoint_activations: bool | None = None
    """Computes activations twice instead of keeping them: a third slower, far less memory."""


class RefineOptions(RefinerOptions):
    """Stage 1, the part drawn again by its reference, on pairs."""

    steps: int | None = Field(50_000, ge=1)
    batch: int = Field(5, ge=1)
    reference_dropout: float = Field(1e-2, ge=0, le=1)
    """Probability of neither bank nor picture, which guidance needs."""
    train_image_encoder: bool = False
    """Whether the image encoder learns too, as one from nothing must; its projector does in any case."""


class InpaintOptions(RefinerOptions):
    """Stage 2, the ring around the part."""

    steps: int | None = Field(20_000, ge=1)
    batch: int = Field(16, ge=1)
    text_dropout: float = Field(1e-2, ge=0, le=1)
    """Probability of the empty prompt (of zeros, for models without text)."""
    ring: tuple[float, float] = (1.0, 1.0)
    """Factors between which the widths of the ring are drawn, outwards and inwards each."""
    seam_colours: Colours = NONE
    """Changes of colour of the part alone: what the first stage gives never quite fits its surroundings."""
    seam_shift: float = Field(0.0, ge=0, le=0.25)
    """Most that the part is moved within its place, as a fraction of the crop's side."""
