"""What a caller asks, validated at the door, and what comes back.

Knows nothing about models: a field that is None means "the model's default", which `Request.resolve` fills in.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.asking import real, whole
from handfirst.runtime.diffusion.masks import BlendRule
from handfirst.runtime.diffusion.settings import check_gesture
from handfirst.runtime.diffusion.solvers import Solver, check_steps
from handfirst.runtime.diffusion.speed import Speed
from handfirst.runtime.diffusion.table import Schedule
from handfirst.runtime.errors import RequestError
from handfirst.runtime.geometry import Similarity
from handfirst.runtime.pose.crop import HandCrop
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.size import LARGEST_SIDE
from handfirst.runtime.systems.two_stage.fitting import SIZE, Armless, canvas_of, eta_of, fit_mask, fit_pose, join_hands
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings

LONGEST_PROMPT = 10_000

CloseUp = Literal["off", "auto", "always"]
"""Whether what lies around hands is painted once more, larger (close_up.py): nowhere, around small hands, or around all
that it makes larger."""

ASKED = (
    *("prompt", "negative_prompt", "hand_prompt", "seed", "steps", "hand_steps"),
    *("guidance", "hand_guidance", "solver", "hand_solver", "eta", "speed", "blend", "feather", "close_up", "armless"),
)
"""What a picture tells of its request, and of these where there is one: gesture, mu. The pose is too long for that."""

Loop = tuple[tuple[int, int], tuple[object, ...]]


@dataclass(frozen=True, eq=False)
class Request:
    """One image to make.

    Raises:
        RequestError: one line, for the first field that makes no sense.
    """

    pose: Pose
    """Who stands where, at least one person; scaled to the model's canvas with its proportions kept."""
    prompt: str
    """What the picture shows. Not empty; at most 10,000 characters, no control characters but tabs and line ends."""
    negative_prompt: str = ""
    """What guidance leads away from."""
    hand_prompt: str | None = None
    """What the hands look like (skin, light); None: the prompt."""
    hand_mask: NDArray[np.bool_] | None = None
    """The hands' outline where it is known, bool [pose.height, pose.width]: fills the condition's mask channel."""
    seed: int = 0
    """0 .. 2**63 - 1. The body's noise is that of torch's CPU generator with this seed."""
    steps: int | None = None
    """Denoising steps of either stage, 1 .. 1000 and at most the model's training steps."""
    hand_steps: int | None = None
    """Of the hands alone; None: the model's own number for them, or `steps`."""
    guidance: float | None = None
    """Classifier-free guidance of the body, 0 .. 100; 1 leaves the negative prompt without effect."""
    hand_guidance: float | None = None
    """The same for the hands."""
    eta: float | None = None
    """DDIM's eta, 0 (deterministic) .. 1 (as noisy as DDPM)."""
    solver: Solver | None = None
    """What takes the steps; see `Solver`."""
    hand_solver: Solver | None = None
    """Of the hands alone; None: the model's own for them, or `solver`."""
    speed: Speed = "exact"
    """Which steps may be guessed, or go without guidance; see `Speed`."""
    blend: BlendRule | None = None
    """How stage 2 keeps the hands: the paper's growing mask, the hand mask at every step, or its bounding box."""
    feather: float | None = None
    """Pixels over which the hands' edge fades outwards in the last paste, 0 .. 64. Hand pixels never change."""
    close_up: CloseUp = "off"
    """Around which hands a second pass paints at a larger scale; see `CloseUp`, and docs/limits.md for what it does."""
    armless: Armless = "leave"
    """What becomes of hands whose elbow or wrist is missing; see `Armless`. None is made up unasked: most are missing
    because they lie outside the picture, and there training has none either."""
    gesture: str | None = None
    """One of the model's, which all hands are told beside their prompt; the key points still say where every joint is.
    None: the prompt alone."""
    mu: float | None = None
    """Share of the hand prompt's own embedding beside a gesture, 0 .. 1; None: the gesture's own."""
    size: tuple[int, int] | None = None
    """Width and height of the picture in pixels, where the model leaves them free; None: the model's own."""

    def __post_init__(self) -> None:
        if not isinstance(self.pose, Pose):
            raise RequestError(f"pose: expected a Pose (read_pose makes one), got {type(self.pose).__name__}")
        if not any(np.isfinite(person.points).any() for person in self.pose.people):
            why = f" ({self.pose.warnings[0]})" if self.pose.warnings else ""
            raise RequestError(f"pose: expected at least one person with visible key points, got none{why}")
        _check_text("prompt", self.prompt)
        _check_text("negative_prompt", self.negative_prompt, empty=True)
        if self.hand_prompt is not None:
            _check_text("hand_prompt", self.hand_prompt)
        if self.gesture is not None:
            _check_text("gesture", self.gesture)
        if self.hand_mask is not None:
            _check_mask(self.hand_mask, (self.pose.height, self.pose.width))
        for name, said, known in (
            ("blend", self.blend, (*get_args(BlendRule), None)),
            ("speed", self.speed, get_args(Speed)),
            ("close_up", self.close_up, get_args(CloseUp)),
            ("armless", self.armless, get_args(Armless)),
            ("solver", self.solver, (*get_args(Solver), None)),
            ("hand_solver", self.hand_solver, (*get_args(Solver), None)),
        ):
            if said not in known:
                raise RequestError(f"{name}: expected one of {', '.join(filter(None, known))}, got {said!r}")
        numbers = {
            "seed": whole("seed", self.seed, 0, 2**63 - 1),
            "steps": None if self.steps is None else whole("steps", self.steps, 1, 1000),
            "hand_steps": None if self.hand_steps is None else whole("hand_steps", self.hand_steps, 1, 1000),
            "guidance": None if self.guidance is None else real("guidance", self.guidance, 100),
            "hand_guidance": None if self.hand_guidance is None else real("hand_guidance", self.hand_guidance, 100),
            "eta": None if self.eta is None else real("eta", self.eta, 1),
            "feather": None if self.feather is None else real("feather", self.feather, 64),
            "mu": None if self.mu is None else real("mu", self.mu, 1),
        }
        for name, value in numbers.items():
            object.__setattr__(self, name, value)  # NumPy's numbers become Python's
        if self.mu is not None and self.gesture is None:
            raise RequestError(f"mu: expected it beside a gesture, got {self.mu} without one")
        if self.size is not None:
            object.__setattr__(self, "size", _size(self.size))

    @property
    def loop(self) -> Loop:
        """Canvas, steps, guidance, solvers, eta, speed: resolved requests that agree in all are denoised together."""
        hands = self.hand_steps, self.hand_guidance, self.hand_solver
        body = self.steps, self.guidance, self.solver
        return (self.pose.width, self.pose.height), (*hands, *body, self.eta, self.speed)

    def seeded(self, seed: int) -> Request:
        """The same with another seed."""
        return replace(self, seed=seed)

    def varied(self, number: int) -> Request:
        """The same work with another seed and words of its own: prompts that were heard once are kept."""
        return replace(self, seed=number, prompt=f"{self.prompt} {number}")

    def resolve(self, settings: TwoStageSettings) -> Request:
        """The same request for one model: its defaults in place of every None, pose and mask on its canvas.

        Raises:
            RequestError: if it asks for more steps than the model or the solver has, an eta where no stage has one, a
                size that the model does not paint, a gesture that it has not, or arms to all hands and there are none.
        """
        check_gesture(self.gesture, settings.gesture_names)
        defaults = settings.defaults
        width, height = canvas_of(self.size, settings.body)
        solver, steps = self.solver or defaults.solver, self.steps or defaults.steps
        stages: dict[str, Any] = {
            "steps": steps,
            "hand_steps": self.hand_steps or defaults.hand_steps or steps,
            "solver": solver,
            "hand_solver": self.hand_solver or defaults.hand_solver or solver,
        }
        most = settings.schedule.train_steps
        for name in ("steps", "hand_steps"):
            if stages[name] > most:
                raise RequestError(f"{name}: expected at most {most}, the model's training steps, got {stages[name]}")
        fitted = fit_pose(self.pose, width, height, self.size is None and settings.body.widths is not None)
        schedule = Schedule(settings.schedule)
        check_steps(solver, schedule, steps)
        check_steps(stages["hand_solver"], schedule, stages["hand_steps"])
        return replace(
            self,
            pose=join_hands(fitted, self.armless),
            hand_mask=None if self.hand_mask is None else fit_mask(self.hand_mask, height, width),
            hand_prompt=self.prompt if self.hand_prompt is None else self.hand_prompt,
            **stages,
            guidance=defaults.guidance if self.guidance is None else self.guidance,
            hand_guidance=defaults.hand_guidance if self.hand_guidance is None else self.hand_guidance,
            blend=self.blend or defaults.blend,
            feather=defaults.feather if self.feather is None else self.feather,
            eta=eta_of(self.eta, defaults.eta, stages["solver"], stages["hand_solver"]),
            mu=settings.gesture(self.gesture).mu if self.gesture and self.mu is None else self.mu,
        )


def _check_text(name: str, text: object, *, empty: bool = False) -> None:
    if not isinstance(text, str):
        raise RequestError(f"{name}: expected text, got {type(text).__name__}")
    if not empty and not text.strip():
        raise RequestError(f"{name}: expected some words, got an empty text")
    if len(text) > LONGEST_PROMPT:
        raise RequestError(f"{name}: expected at most {LONGEST_PROMPT} characters, got {len(text)}")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
            raise RequestError(f"{name}: expected text without control characters, got U+{ord(character):04X}")


def _check_mask(mask: object, shape: tuple[int, int]) -> None:
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != shape:
        got = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise RequestError(f"hand_mask: expected bool {list(shape)}, the pose's height and width, got {got}")


def _size(size: object) -> tuple[int, int]:
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise RequestError(f"{SIZE}: expected width and height, got {size!r}")
    return whole(SIZE, size[0], 1, LARGEST_SIDE), whole(SIZE, size[1], 1, LARGEST_SIDE)


@dataclass(frozen=True, eq=False)
class HandResult:
    """One generated hand crop; it holds two hands where their boxes meet (crops.py)."""

    person: int
    """Index of the person in the pose."""
    crop: HandCrop
    """Which hands, and `crop.similarity`: canvas pixels -> crop pixels."""
    image: NDArray[np.uint8]
    """uint8 [S, S, 3]."""
    mask: NDArray[np.bool_]
    """bool [S, S], True on the hand: predicted, thresholded, specks removed."""
    partner: int | None = None
    """Index of the person whose right hand is in the crop beside `person`'s left one; None: all is `person`'s."""
    bones: NDArray[np.float64] | None = None
    """Ends of its bones, float64 [N, 2, 2] in canvas pixels: what decides over pixels that other hands claim, too."""

    @property
    def name(self) -> str:
        """Of this part of the picture."""
        return hand_name(self.person, self.crop, self.partner)


def hand_name(person: int, crop: HandCrop, partner: int | None = None) -> str:
    """What a hand is called and its seed derived from: hand-0-left, hand-0-right, or for a joint crop hand-0-both, or
    hand-0-left-1-right where the right hand is another person's."""
    if partner is not None:
        return f"hand-{person}-left-{partner}-right"
    return f"hand-{person}-{crop.sides[0] if len(crop.sides) == 1 else 'both'}"


@dataclass(frozen=True, eq=False)
class CloseUpResult:
    """What the second pass painted around one hand."""

    name: str
    """hand-0-left-close-up."""
    window: Similarity
    """Canvas pixels -> the close-up's."""
    image: NDArray[np.uint8]
    """uint8 [H, W, 3], as large as the picture: the window with the hand in place."""
    weight: NDArray[np.float64]
    """float64 [H, W] in [0, 1] on the canvas: how much of the finished picture comes from here; 0 on every hand."""


@dataclass(frozen=True, eq=False)
class Result:
    """One made image and everything it was made from."""

    image: NDArray[np.uint8]
    """uint8 [H, W, 3]; equal to `canvas` wherever `mask` is True."""
    hands: tuple[HandResult, ...]
    """In the order in which they were placed."""
    canvas: NDArray[np.uint8]
    """uint8 [H, W, 3], the hands alone on uniform grey."""
    mask: NDArray[np.bool_]
    """bool [H, W], True where a hand was kept."""
    latents: NDArray[np.float32]
    """float32 [C, H / factor, W / factor], standardised: the body's x_0 before it was decoded."""
    request: Request
    """As it was carried out: every default filled in, the pose on the model's canvas."""
    seconds: dict[str, float]
    """Wall time of text, hands, hands_decode, canvas, body, body_decode and total, and of close_ups before it where
    there are some; of the batch, where in one."""
    warnings: tuple[str, ...] = ()
    """What the caller should know: a prompt that was cut, hands too small, a mask that stayed empty."""
    close_ups: tuple[CloseUpResult, ...] = ()
    """One for every hand around which the picture was painted once more."""

    @property
    def seed(self) -> int:
        """The request's seed."""
        return self.request.seed

    @property
    def asked(self) -> dict[str, Any]:
        """The request's words and numbers, defaults filled in, and the picture's width and height in pixels."""
        height, width = self.mask.shape
        said = {name: getattr(self.request, name) for name in ASKED}
        if self.request.gesture is not None:
            said |= {"gesture": self.request.gesture, "mu": self.request.mu}
        return {**said, "width": width, "height": height}
