"""Changes of colour that training pictures undergo: RGB shift, random brightness and contrast (paper, section IV-A).

Ranges and formulas are those of albumentations' RGBShift and RandomBrightnessContrast, the probabilities those of
HumanSD, whose operations the paper's authors use; eight bits in, eight bits out, so that each is one table look-up.
Knows nothing about geometry: nothing moves here, key points and masks stay true.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Image = NDArray[np.uint8]
_VALUES = np.arange(256, dtype=np.float32)


class Colours(BaseModel):
    """How often, and how far."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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


def recolour(rgb: Image, colours: Colours, rng: np.random.Generator) -> Image:
    """rgb uint8 [H, W, 3] -> the same with changed colours. Draws six numbers whatever happens to the picture."""
    shift_now, change_now = rng.random(2) < (colours.shift_probability, colours.contrast_probability)
    shift = rng.uniform(-colours.shift, colours.shift, 3)
    contrast = float(rng.uniform(-colours.contrast, colours.contrast))
    brightness = float(rng.uniform(-colours.brightness, colours.brightness))
    if shift_now:
        rgb = _look_up(rgb, shift_table(shift))
    if change_now:
        rgb = _look_up(rgb, contrast_table(contrast, brightness))
    return rgb


def shift_table(shift: NDArray[np.float64]) -> Image:
    """What each value of each channel becomes, uint8 [256, 3]: v + shift, clipped."""
    return _eight_bits(_VALUES[:, None] + shift[None])


def contrast_table(contrast: float, brightness: float) -> Image:
    """uint8 [256, 3]: v (1 + contrast) + 255 brightness, clipped."""
    return np.repeat(_eight_bits(_VALUES * (1 + contrast) + 255 * brightness)[:, None], 3, 1)


def _eight_bits(values: NDArray[np.floating]) -> Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _look_up(rgb: Image, table: Image) -> Image:
    return np.asarray(cv2.LUT(rgb, table[None]), np.uint8)
