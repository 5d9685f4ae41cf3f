"""What a model of annotated hands *is*: the settings that training writes, the manifest carries and the runtime obeys.

Knows nothing about what a caller asks (that is request.py), about other files than a manifest, or about what runs the
networks. Source of the defaults: Annotated Hands (arXiv 2401.15075) and its published training. Where that predicts the
noise and clips every clean estimate to [-1, 1], models here predict the velocity, which needs no clipping.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from handfirst.engines.manifest import Manifest
from handfirst.runtime.diffusion.settings import LatentSettings, ScheduleSettings, Settings, TextSettings, settings_of
from handfirst.runtime.systems.annotated.annotation import Style

SYSTEM = "annotated"
MOST_CANDIDATES = 64


class Defaults(Settings):
    """What a request gets where it says nothing."""

    steps: int = Field(250, ge=1, le=1000)
    guidance: float = Field(1.0, ge=0, le=100)
    eta: float = Field(0.0, ge=0, le=1)
    best_of: int = Field(1, ge=1, le=MOST_CANDIDATES)


class AnnotatedSettings(Settings):
    """All of it, as one block of the manifest."""

    mode: Literal["pixel", "latent"] = "pixel"
    """Whether pixels are denoised (the paper), or what an autoencoder makes of picture and annotation, each alone."""
    annotation: Style = "channels"
    """What is drawn beside the picture: three grey channels (the paper), a coloured skeleton, or nothing."""
    size: int = Field(128, ge=16, le=2048)
    """Side of a picture in pixels."""
    patch: int = Field(1, ge=1, le=32)
    """Side of the squares of cells that the network sees as one place, each cell's channels after the other's (space to
    depth). 1, the paper's: every cell by itself."""
    schedule: ScheduleSettings = ScheduleSettings(
        betas="squaredcos_cap_v2",
        prediction="v_prediction",
        spacing="trailing",
        steps_offset=0,
        set_alpha_to_one=True,
    )
    latent: LatentSettings | None = None
    """Of the autoencoder, in mode "latent"."""
    classes: tuple[str, ...] = Field((), max_length=10_000)
    """Labels that the model knows; none: it cannot be told one."""
    text: TextSettings | None = None
    """None: it reads no text."""
    defaults: Defaults = Defaults()

    @model_validator(mode="after")
    def _fits(self) -> AnnotatedSettings:
        if (self.mode == "latent") != (self.latent is not None):
            raise ValueError('latent: expected it in mode "latent", and there alone')
        if self.latent is not None and self.size % self.latent.factor:
            raise ValueError(f"size must be a multiple of {self.latent.factor}, got {self.size}")
        if self.cells % self.patch:
            raise ValueError(f"patch: expected a divisor of {self.cells}, got {self.patch}")
        if self.text is not None and (self.classes or self.latent is None):
            raise ValueError('text: expected it in mode "latent" alone, and no classes beside it')
        if len(set(self.classes)) != len(self.classes) or not all(name.strip() for name in self.classes):
            raise ValueError("classes: expected different names, none of them empty")
        if not self.told and self.defaults.guidance != 1:
            raise ValueError("defaults.guidance: expected 1 for a model that is told nothing")
        if self.annotation == "none" and self.defaults.best_of != 1:
            raise ValueError("defaults.best_of: expected 1 for a model without an annotation to choose by")
        return self

    @property
    def told(self) -> Literal["label", "context"] | None:
        """Which input of the denoiser tells it what to draw."""
        return "label" if self.classes else "context" if self.text is not None else None

    @property
    def channels(self) -> int:
        """Of what is denoised: the picture's, then the annotation's."""
        one = 3 if self.latent is None else self.latent.channels
        return one if self.annotation == "none" else 2 * one

    @property
    def cells(self) -> int:
        """Side of what is denoised."""
        return self.size if self.latent is None else self.size // self.latent.factor


def read_settings(manifest: Manifest) -> AnnotatedSettings:
    """The manifest's settings, if it is a model of annotated hands.

    Raises:
        BundleError: in one line, for another system or the first setting that makes no sense.
    """
    return settings_of(manifest, SYSTEM, AnnotatedSettings)
