"""What models of any system have in common: a noise schedule, latents, a text encoder, gestures in words.

Part of what a model *is*: training writes it, the manifest carries it, the runtime obeys it. Source of the defaults:
Stable Diffusion 1.5.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from handfirst.engines.errors import BundleError
from handfirst.engines.manifest import Manifest
from handfirst.runtime.errors import RequestError


class Settings(BaseModel):
    """Frozen, and unknown keys are errors: a misspelt setting must not pass in silence.

    Every number is finite and bounded, generously: a bundle that asks for absurd sizes is refused before any is tried.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ScheduleSettings(Settings):
    """The noise schedule; names and meanings are those of diffusers' DDIMScheduler."""

    train_steps: int = Field(1000, ge=2, le=100_000)
    betas: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "scaled_linear"
    beta_start: float = Field(0.00085, gt=0, lt=1)
    beta_end: float = Field(0.012, gt=0, lt=1)
    prediction: Literal["epsilon", "v_prediction", "sample"] = "epsilon"
    """What the UNets predict: the noise eps, the velocity v, or the clean latent x_0."""
    spacing: Literal["leading", "trailing", "linspace"] = "leading"
    steps_offset: int = Field(1, ge=0, le=1000)
    set_alpha_to_one: bool = False
    """Whether the last step goes to alpha_bar = 1 instead of alpha_bar_0."""
    zero_snr: bool = False
    """Whether betas are rescaled until x_T is noise alone, alpha_bar_T = 0 (arXiv 2305.08891, algorithm 1)."""


class LatentSettings(Settings):
    """How pixels become latents: x = (raw - mean) / std per channel, `factor` pixels to a latent cell."""

    channels: int = Field(4, ge=1, le=64)
    factor: int = Field(8, ge=1, le=64)
    mean: tuple[float, ...] = (0.0,) * 4
    std: tuple[float, ...] = (1 / 0.18215,) * 4
    preview: tuple[tuple[float, ...], ...] = ()
    """Pictures without the decoder: red, green and blue in [-1, 1] as weights of the raw channels, 3 rows; or none."""

    @model_validator(mode="after")
    def _one_per_channel(self) -> LatentSettings:
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(f"mean and std need one value per latent channel ({self.channels})")
        if min(self.std) <= 0:
            raise ValueError("std must be positive")
        if self.preview and [len(row) for row in self.preview] != [self.channels] * 3:
            raise ValueError(f"preview needs three rows of one weight per latent channel ({self.channels}), or none")
        return self


class TextSettings(Settings):
    """The text encoder's fixed-length input and output."""

    length: int = Field(77, ge=4, le=1024)
    """Tokens per prompt, begin and end included; longer prompts are cut, with a warning."""
    width: int = Field(768, ge=1, le=16384)
    begin: int = Field(49406, ge=0, lt=1 << 24)
    end: int = Field(49407, ge=0, lt=1 << 24)
    pad: int = Field(49407, ge=0, lt=1 << 24)

    @property
    def values(self) -> int:
        """Numbers of a prompt's embedding, vec(E)."""
        return self.length * self.width


FEATURE = 63
"""Numbers of a gesture's feature: x, y, z of 21 points."""
MOST_GESTURES = 99


class GestureSettings(Settings):
    """One gesture (gesture.py); its numbers are an asset of its name."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    words: str = Field(min_length=1, max_length=200)
    """What a prompt ends in."""
    fusion: Literal["low-rank", "frozen-random"] = "low-rank"
    """Trained; or the published one: random, never trained, made again from its seed instead of stored."""
    rank: int = Field(64, ge=1, le=4096)
    """Of the low-rank fusion."""
    seed: int = Field(0, ge=0)
    """Of the frozen random one."""

    def values(self, text: TextSettings) -> int:
        """Numbers of its feature and its fusion."""
        return FEATURE + (self.rank * (2 * text.values + FEATURE) if self.fusion == "low-rank" else 0)


def names_of(gestures: Sequence[GestureSettings]) -> tuple[str, ...]:
    """Of the gestures.

    Raises:
        ValueError: one is there twice.
    """
    names = tuple(gesture.name for gesture in gestures)
    if len(set(names)) != len(names):
        raise ValueError("gestures: expected different names")
    return names


def check_gesture(gesture: str | None, names: Sequence[str]) -> None:
    """Raises a RequestError for a gesture that is none of the model's, and lists those."""
    if gesture is not None and gesture not in names:
        has = f"one of {', '.join(names)}" if names else "none, as this model has no gestures"
        raise RequestError(f"gesture: expected {has}, got {gesture!a:.60}")


S = TypeVar("S", bound=Settings)


def settings_of(manifest: Manifest, system: str, model: type[S]) -> S:
    """The manifest's settings, if it is of that system.

    Raises:
        BundleError: in one line, for another system or the first setting that makes no sense.
    """
    if manifest.system != system:
        raise BundleError(
            f"bundle '{manifest.name}': expected the system {system}, got {manifest.system}; "
            "open it with the program that it was made for"
        )
    try:
        # as JSON: in Python's own objects lists would be no tuples; strictly: "50" is no number, and neither is true
        return model.model_validate_json(json.dumps(manifest.settings), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("settings", *first["loc"]))
        raise BundleError(
            f"bundle '{manifest.name}': {where}: {first['msg']}, got {first['input']!r:.60}; "
            "it may come from a newer version: pip install -U handfirst"
        ) from error
