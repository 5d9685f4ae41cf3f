"""What a two-stage model *is*: the settings that training writes, the manifest carries and the runtime obeys.

Knows nothing about what a caller asks (that is request.py), about other files than a manifest, or about what runs the
networks.
Source of the defaults: the paper, and where it is silent the values of Stable Diffusion 1.5.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from handfirst.engines.manifest import Manifest
from handfirst.engines.spec import AxisLimits
from handfirst.runtime.diffusion.masks import BlendRule
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
from handfirst.runtime.diffusion.solvers import Solver
from handfirst.runtime.pose.size import LARGEST_SIDE

SYSTEM = "two-stage"


class ConditionSettings(Settings):
    """The key-point condition c_p of the hand generator (paper, section III-B).

    Channels: thumb..pinky of the left hand, thumb..pinky of the right hand, the user's mask: K = 11.
    The maps are drawn at the crop's own size, reduced bilinearly to `grid` x `grid`, then folded (pixel-unshuffle)
    by `fold` to the latent's size, so that K * fold**2 channels reach the UNet. SD1.5: grid 64, fold 1, 11 channels.
    """

    grid: int = Field(64, ge=4, le=1024)
    fold: int = Field(1, ge=1, le=8)
    sigma: float = Field(9 / 512, gt=0, lt=1)
    """The Gaussian's sigma in exp(-d^2 / sigma^2), as a fraction of the crop's side."""
    amplitude: tuple[float, ...] = (1.0,) * 21
    """Peak value of each of the 21 points, in MediaPipe order (wrist, thumb base..tip, index base..tip, ...)."""
    wrist: bool = True
    """Whether the wrist is drawn into all five channels of its hand."""

    @model_validator(mode="after")
    def _whole_cells(self) -> ConditionSettings:
        if self.grid % self.fold:
            raise ValueError("grid must be a multiple of fold")
        if len(self.amplitude) != 21:
            raise ValueError("amplitude needs 21 values")
        return self


MaskSource = Literal["last", "up_block"]


class MaskHeadSettings(Settings):
    """The mask head: transposed convolutions that double the side, then an average pool to the crop's size.

    The paper names four layers on "the last decoder layer" and a mask of the picture's size, which do not agree at 8
    pixels per latent cell: 64 doubled four times is 1024, not 512. SD1.5's ways out, F x side:

        source    layers    feature     before the pool    pool
        last      4         320 x 64    1024               2      the default: the paper's words
        last      3         320 x 64    512                none   less to compute
        up_block  4         640 x 32    512                none   the paper's numbers
    """

    source: MaskSource = "last"
    """Its feature: what conv_out gets (after the last norm and SiLU), or what the last upsampler gets, at the end of
    the last up block but one, which has half the side."""
    layers: Literal[3, 4] = 4

    @property
    def stride(self) -> int:
        """Latent cells to a cell of the feature, along a side."""
        return 2 if self.source == "up_block" else 1

    def pool(self, factor: int) -> int:
        """Side of the average pool that leaves `factor` pixels to a latent cell; 1: there is none.

        Raises:
            ValueError: the layers do not reach the picture's size, or cannot be pooled to it.
        """
        reach = (1 << self.layers) // self.stride
        if reach % factor:
            raise ValueError(
                f"mask_head: {self.layers} layers on the feature {self.source!r} give {reach} pixels per latent cell, "
                f"which cannot become latent.factor = {factor}; expected a power of two up to {reach}"
                + ("" if self.layers == 4 else ", or layers = 4")
            )
        return reach // factor


class HandSettings(Settings):
    """Stage 1."""

    size: int = Field(512, ge=16, le=2048)
    """Side of the square hand crop in pixels."""
    margin: float = Field(1.5, gt=0, le=100)
    """Side of the crop over the longer side of the key points' box."""
    min_side: float = Field(64 / 512, ge=0, le=1)
    """Smallest side of a crop, as a fraction of the canvas' shorter side."""
    mask_threshold: float = Field(0.5, gt=0, lt=1)
    view_words: bool = False
    """Whether the prompt of the hands begins with words derived from the key points ("palm of a left hand, ...")."""
    condition: ConditionSettings = ConditionSettings()
    mask_head: MaskHeadSettings = MaskHeadSettings()


class BodySettings(Settings):
    """Stage 2."""

    height: int = Field(512, ge=16, le=LARGEST_SIDE)
    width: int = Field(512, ge=16, le=LARGEST_SIDE)
    hint_channels: int = Field(4, ge=4, le=4)
    """Skeleton RGB in [0, 1], then the area to paint (1 - hand mask)."""
    background: float = Field(0.5, ge=0, le=1)
    """Grey of the canvas around the hands."""
    rim: float = Field(0.0, ge=0, le=0.1)
    """Width of the hands' edge that takes its colours from further in, as a fraction of their crop's side: what lies
    behind a hand in its own crop shines through there. Ours; the paper says nothing of it."""
    blend_source: Literal["noised", "clean"] = "noised"
    """Whether the kept region of x_t is the canvas noised to t or the clean canvas (paper, eq. 11, leaves it open)."""
    mask_reduction: Literal["area", "nearest", "max"] = "area"
    mask_schedule: Literal["pixels", "latent"] = "pixels"
    """How the kept mask shrinks: a little at every step, before it is reduced to latent cells; or as in Blended Latent
    Diffusion, a cell at a time, after it was. What no cell keeps, "latent" cannot dilate either: with "area", hands of
    a few pixels."""
    mask_radius: float = Field(50 / 512, ge=0, le=1)
    """Schedule "pixels": radius R of the widest dilation, as a fraction of the canvas' shorter side."""
    mask_count: int = Field(7, ge=1, le=1000)
    """Schedule "latent": how many masks there are, the true one and its dilations with kernels of 3, 5, 7, ... cells.
    7: the widest kernel has 13 cells, as wide as the 50 of 512 pixels."""
    unblended: int = Field(2, ge=0, le=1000)
    """Last steps without blending."""
    widths: AxisLimits | None = None
    heights: AxisLimits | None = None
    """Which other sizes a request may ask for, in pixels; None: `width` and `height` alone."""

    @model_validator(mode="after")
    def _usual_size(self) -> BodySettings:
        for name, limits, usual in (("widths", self.widths, self.width), ("heights", self.heights, self.height)):
            if limits is not None and limits.usual != usual:
                raise ValueError(f"{name}.usual must be {usual}, the canvas itself, got {limits.usual}")
        return self


class Defaults(Settings):
    """What a request gets where it says nothing."""

    steps: int = Field(50, ge=1, le=1000)
    guidance: float = Field(7.5, ge=0, le=100)
    hand_guidance: float = Field(7.5, ge=0, le=100)
    eta: float = Field(0.0, ge=0, le=1)
    blend: BlendRule = "expansion"
    """How the body is painted around the hands; the paper's own."""
    feather: float = Field(0.0, ge=0, le=64)
    """Pixels over which the hands' edge fades outwards."""
    solver: Solver = "ddim"
    hand_steps: int | None = Field(None, ge=1, le=1000)
    """Where the hands need another number than the body, as when few-step weights were merged into the body alone."""
    hand_solver: Solver | None = None


class HandGesture(GestureSettings):
    """A gesture that the hands' prompts may tell."""

    mu: float = Field(0.7, ge=0, le=1)
    """Share of the prompt's own embedding, where a request says nothing; the rest is the fused one's."""


class TwoStageSettings(Settings):
    """All of it, as one block of the manifest."""

    schedule: ScheduleSettings = ScheduleSettings()
    latent: LatentSettings = LatentSettings()
    text: TextSettings = TextSettings()
    hand: HandSettings = HandSettings()
    body: BodySettings = BodySettings()
    defaults: Defaults = Defaults()
    gestures: tuple[HandGesture, ...] = Field((), max_length=MOST_GESTURES)

    @model_serializer(mode="wrap")
    def _as_before_gestures(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A model without gestures is written as one was before there were any: older packages open it."""
        written: dict[str, Any] = handler(self)
        if not self.gestures:
            del written["gestures"]
        return written

    @model_validator(mode="after")
    def _sizes_fit(self) -> TwoStageSettings:
        factor = self.latent.factor
        for name, size in (
            ("hand.size", self.hand.size),
            ("body.height", self.body.height),
            ("body.width", self.body.width),
        ):
            if size % factor:
                raise ValueError(f"{name} must be a multiple of {factor}, got {size}")
        for name, limits in (("body.widths", self.body.widths), ("body.heights", self.body.heights)):
            if limits is not None and (limits.multiple % factor or limits.most > LARGEST_SIDE):
                raise ValueError(f"{name}: expected multiples of {factor} up to {LARGEST_SIDE}, got {limits}")
        if self.hand.condition.grid // self.hand.condition.fold != self.hand.size // factor:
            raise ValueError("condition.grid / condition.fold must equal hand.size / latent.factor")
        names_of(self.gestures)
        self.hand.mask_head.pool(factor)
        if (cells := self.hand.size // factor) % self.hand.mask_head.stride:
            raise ValueError(f"mask_head: source 'up_block' needs an even number of latent cells, got {cells} a side")
        return self

    @property
    def gesture_names(self) -> tuple[str, ...]:
        """Of the gestures."""
        return names_of(self.gestures)

    def gesture(self, name: str) -> HandGesture:
        """By its name, which is one of `gesture_names`."""
        return self.gestures[self.gesture_names.index(name)]

    def on_canvas(self, width: int, height: int) -> TwoStageSettings:
        """The same model with another canvas in pixels, which its limits must allow (request.py asks them)."""
        fixed = {"width": width, "height": height, "widths": None, "heights": None}
        return self.model_copy(update={"body": self.body.model_copy(update=fixed)})

    @property
    def condition_channels(self) -> int:
        """Channels that the key-point condition adds to the hand UNet's input."""
        return 11 * self.hand.condition.fold**2


def read_settings(manifest: Manifest) -> TwoStageSettings:
    """The manifest's settings, if it is a two-stage model's.

    Raises:
        BundleError: in one line, for another system or the first setting that makes no sense.
    """
    return settings_of(manifest, SYSTEM, TwoStageSettings)
