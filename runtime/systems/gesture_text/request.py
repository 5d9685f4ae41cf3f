"""What a caller asks, validated at the door, and what comes back.

Knows nothing about models: a field that is None means "the model's default", which `GestureRequest.resolve` fills in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.asking import real, whole
from handfirst.runtime.diffusion.settings import check_gesture
from handfirst.runtime.errors import RequestError
from handfirst.runtime.systems.gesture_text.settings import GestureTextSettings

LONGEST = 10_000
ASKED = ("prompt", "gesture", "seed", "steps", "guidance", "eta", "mu")

Loop = tuple[float | None, ...]


@dataclass(frozen=True)
class GestureRequest:
    """One picture of words and a gesture.

    Raises:
        RequestError: one line, for the first field that makes no sense.
    """

    prompt: str | None = None
    """What the picture shows, beside the gesture, whose words are added; None: nothing is said."""
    gesture: str | None = None
    """One of the model's; None: the model without any, as it was before it learnt gestures."""
    seed: int = 0
    """0 .. 2**63 - 1."""
    steps: int | None = None
    """1 .. 1000."""
    guidance: float | None = None
    """0 .. 100; 1 is without."""
    eta: float | None = None
    """DDIM's eta, 0 .. 1."""
    mu: float | None = None
    """Share of the prompt's own embedding, 0 .. 1; the rest is the fused one's. With a gesture alone."""

    def __post_init__(self) -> None:
        for name in ("prompt", "gesture"):
            words = getattr(self, name)
            if words is not None and (not isinstance(words, str) or len(words) > LONGEST):
                raise RequestError(f"{name}: expected text of at most {LONGEST} characters, got {words!a:.40}")
        numbers = {
            "seed": whole("seed", self.seed, 0, 2**63 - 1),
            "steps": None if self.steps is None else whole("steps", self.steps, 1, 1000),
            "guidance": None if self.guidance is None else real("guidance", self.guidance, 100),
            "eta": None if self.eta is None else real("eta", self.eta, 1),
            "mu": None if self.mu is None else real("mu", self.mu, 1),
        }
        for name, value in numbers.items():
            object.__setattr__(self, name, value)  # NumPy's numbers become Python's
        if self.mu is not None and self.gesture is None:
            raise RequestError(f"mu: expected it beside a gesture, got {self.mu} without one")

    @property
    def loop(self) -> Loop:
        """Resolved requests that agree in it are denoised together, whatever their gestures."""
        return (self.steps, self.guidance, self.eta)

    def seeded(self, seed: int) -> GestureRequest:
        """The same with another seed."""
        return replace(self, seed=seed)

    def varied(self, number: int) -> GestureRequest:
        """The same work with another seed and other words: contexts of prompts are kept."""
        return replace(self, seed=number, prompt=f"{self.prompt or ''} {number}")

    def resolve(self, settings: GestureTextSettings) -> GestureRequest:
        """The same request for one model: its defaults in place of every None.

        Raises:
            RequestError: a gesture that it has not, or too many steps.
        """
        check_gesture(self.gesture, settings.names)
        defaults = settings.defaults.model_dump()
        if self.gesture is None:
            defaults.pop("mu")
        filled = {name: default for name, default in defaults.items() if getattr(self, name) is None}
        resolved = replace(self, **filled)
        most = settings.schedule.train_steps
        if resolved.steps is not None and resolved.steps > most:
            raise RequestError(f"steps: expected at most {most}, the model's training steps, got {resolved.steps}")
        return resolved


@dataclass(frozen=True, eq=False)
class GestureResult:
    """A picture, and what it says about itself."""

    image: NDArray[np.uint8]
    """uint8 RGB [S, S, 3]."""
    request: GestureRequest
    """As it was carried out."""
    seconds: dict[str, float]
    """Wall time of text, sample, decode and total; of the batch, where in one."""
    warnings: tuple[str, ...] = ()

    @property
    def seed(self) -> int:
        """The request's seed."""
        return self.request.seed

    @property
    def asked(self) -> dict[str, Any]:
        """The request's words and numbers, defaults filled in, and the picture's size."""
        said = {name: getattr(self.request, name) for name in ASKED if getattr(self.request, name) is not None}
        height, width = self.image.shape[:2]
        return {**said, "width": width, "height": height}
