"""What a part refiner *is*: the settings that training writes, the manifest carries and the runtime obeys.

Knows nothing about what a caller asks (that is request.py), about other files than a manifest, or about what runs the
networks.
Source of the defaults: RealisHuman (arXiv 2409.03644) and its released code; where the two differ, the code. Its
pixels are those of a part of 512 x 512; here they are fractions of the part's side.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from handfirst.engines.manifest import Manifest
from handfirst.runtime.diffusion.settings import (
    LatentSettings,
    ScheduleSettings,
    Settings,
    TextSettings,
    settings_of,
)

SYSTEM = "part-refiner"
Kind = Literal["hand", "face"]
CONTEXT = "inpaint_context"
"""The asset that stands in for a text encoder: float32 [L, D] in an .npy file."""


class ImageEncoderSettings(Settings):
    """The encoder of the reference picture: a square in, tokens out, as wide as the UNets' cross-attention."""

    size: int = Field(224, ge=8, le=2048)
    """Side of the picture in pixels."""
    tokens: int = Field(257, ge=1, le=65536)
    width: int = Field(768, ge=1, le=16384)
    """Of a token after the projector."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Red, green, blue in [0, 1] become (colour - mean) / std. Guidance leads away from a picture of mean colour."""

    @model_validator(mode="after")
    def _can_divide(self) -> ImageEncoderSettings:
        if min(self.std) <= 0:
            raise ValueError("std must be positive")
        return self


class KindSettings(Settings):
    """How a part of one kind is cut out, told from its background, and repainted at its edge."""

    gap: float = Field(100 / 512, ge=0, lt=0.5)
    """What lies between the key points' box, made square, and each edge of the crop: a fraction of the crop's side."""
    mask_threshold: float = Field(0.4, gt=0, lt=1)
    """The part is where any channel of its pose picture reaches this."""
    dilation: float = Field(100 / 512, ge=0, lt=1)
    """Side of the square that the part is dilated with, as a fraction of the crop's side: half of it is how far the
    area to repaint reaches beyond the part."""
    erosion: float = Field(0.06, ge=0, lt=1)
    """Side of the square that the part is eroded with, as a fraction of the longer side of the part's box: half of it
    is how much of the refined part's rim is repainted."""
    keep: float | None = Field(None, gt=0, le=0.1)
    """How far within the part, as a fraction of the crop's side, its pixels as the first stage drew them are put back
    into what the second painted; they fade out over as much. None: the second stage has the last word, as published."""
    prompt: str = Field("Natural inpainting the area around the hand", min_length=1, max_length=10_000)
    """What the second stage is told, where the model reads text."""


class PartSettings(Settings):
    """Crops, and the kinds that the model was trained on."""

    size: int = Field(512, ge=16, le=2048)
    """Side of a crop in its own pixels."""
    hand: KindSettings | None = KindSettings()
    face: KindSettings | None = None

    @model_validator(mode="after")
    def _is_for_something(self) -> PartSettings:
        if not self.kinds:
            raise ValueError("expected hand, face or both, got none")
        return self

    @property
    def kinds(self) -> dict[Kind, KindSettings]:
        """By name, hands first."""
        both: dict[Kind, KindSettings | None] = {"hand": self.hand, "face": self.face}
        return {kind: settings for kind, settings in both.items() if settings is not None}


class Defaults(Settings):
    """What a request gets where it says nothing."""

    steps: int = Field(50, ge=1, le=1000)
    """Of the stage that draws the part, before strength cuts them."""
    guidance: float = Field(3.0, ge=0, le=100)
    inpaint_steps: int = Field(50, ge=1, le=1000)
    inpaint_guidance: float = Field(3.0, ge=0, le=100)
    strength: float = Field(1.0, gt=0, le=1)
    """1: the part is drawn from noise alone; below, from the part as it was with that much of the noise."""
    eta: float = Field(0.0, ge=0, le=1)


class PartRefinerSettings(Settings):
    """All of it, as one block of the manifest."""

    schedule: ScheduleSettings = ScheduleSettings(zero_snr=True)
    """Of both stages."""
    drawn_by: Literal["reference", "control"] = "reference"
    """reference: the first stage draws the part after what was there. control: there is no first stage; the second
    draws all of the part, and a ControlNet tells it the pose picture (HandRefiner, arXiv 2311.17957). The defaults of
    the second stage alone (inpaint_*) then say nothing."""
    latent: LatentSettings = LatentSettings()
    image_encoder: ImageEncoderSettings = ImageEncoderSettings()
    text: TextSettings | None = TextSettings()
    """None: there is no text encoder; the second stage is told the asset CONTEXT, and zeros without it."""
    part: PartSettings = PartSettings()
    reference_timestep: Literal["current", "zero"] = "current"
    """What the reference UNet is told: the step's own time, or 0 (and then all steps share one bank)."""
    bank_bytes: int = Field(2 << 30, ge=0, le=1 << 40)
    """Banks of all steps are made before the loop and kept while they take no more memory than this, else made at
    each step."""
    defaults: Defaults = Defaults()

    @model_validator(mode="after")
    def _sizes_fit(self) -> PartRefinerSettings:
        if self.part.size % self.latent.factor:
            raise ValueError(f"part.size must be a multiple of {self.latent.factor}, got {self.part.size}")
        return self

    @property
    def cells(self) -> int:
        """Latent cells along a crop's side."""
        return self.part.size // self.latent.factor


def read_settings(manifest: Manifest) -> PartRefinerSettings:
    """The manifest's settings, if it is a part refiner's.

    Raises:
        BundleError: in one line, for another system or the first setting that makes no sense.
    """
    return settings_of(manifest, SYSTEM, PartRefinerSettings)
