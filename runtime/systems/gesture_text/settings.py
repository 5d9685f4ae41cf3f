"""What a model of gestures in words *is*: the settings that training writes, the manifest carries, the runtime obeys.

A text-to-image model, and beside it gestures: of each a mean hand feature, what fuses it into a prompt's embedding, and
a low-rank adapter of the UNet. Knows nothing about what a caller asks, or about what runs the networks. Source of the
defaults: Hand1000 (arXiv 2408.15461) and its published programs.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from handfirst.engines.manifest import Manifest
from handfirst.runtime.diffusion.settings import (
    MOST_GESTURES,
    GestureSettings,
    LatentSettings,
    ScheduleSettings,
    Settings,
    TextSettings,
    names_of,
    settings_of,
)

SYSTEM = "gesture-text"


class Defaults(Settings):
    """What a request gets where it says nothing."""

    steps: int = Field(45, ge=1, le=1000)
    guidance: float = Field(3.0, ge=0, le=100)
    eta: float = Field(0.0, ge=0, le=1)
    mu: float = Field(0.7, ge=0, le=1)
    """Share of the prompt's own embedding in what the UNet is told; the rest is the fused one's."""


class AdapterSettings(Settings):
    """The low-rank change of the UNet that every gesture has."""

    rank: int = Field(4, ge=1, le=256)
    layers: tuple[str, ...] = Field(("to_q", "to_k", "to_v", "to_out.0"), min_length=1)
    """Linear layers, by the end of their name."""
    values: int = Field(ge=1)
    """Numbers of one gesture's: both factors of every layer, one after the other."""


class GestureTextSettings(Settings):
    """All of it, as one block of the manifest."""

    size: int = Field(512, ge=16, le=2048)
    """Side of a picture in pixels."""
    schedule: ScheduleSettings = ScheduleSettings()
    latent: LatentSettings = LatentSettings()
    text: TextSettings = TextSettings()
    adapter: AdapterSettings
    gestures: tuple[GestureSettings, ...] = Field((), max_length=MOST_GESTURES)
    defaults: Defaults = Defaults()

    @model_validator(mode="after")
    def _fits(self) -> GestureTextSettings:
        if self.size % self.latent.factor:
            raise ValueError(f"size must be a multiple of {self.latent.factor}, got {self.size}")
        names_of(self.gestures)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Of the gestures."""
        return names_of(self.gestures)

    @property
    def cells(self) -> int:
        """Side of the latents."""
        return self.size // self.latent.factor

    def gesture(self, name: str) -> GestureSettings:
        """By its name, which is one of `names`."""
        return self.gestures[self.names.index(name)]

    def values(self, gesture: GestureSettings) -> int:
        """Numbers of a gesture's asset."""
        return gesture.values(self.text) + self.adapter.values


def read_settings(manifest: Manifest) -> GestureTextSettings:
    """The manifest's settings, if it is such a model.

    Raises:
        BundleError: in one line, for another system or the first setting that makes no sense.
    """
    return settings_of(manifest, SYSTEM, GestureTextSettings)
