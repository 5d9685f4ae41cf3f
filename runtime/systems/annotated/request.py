"""What a caller asks, validated at the door, and what comes back.

Knows nothing about models: a field that is None means "the model's default", which `SampleRequest.resolve` fills in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from handfirst.runtime.asking import real, whole
from handfirst.runtime.diffusion.noise import part_seed
from handfirst.runtime.errors import RequestError
from handfirst.runtime.systems.annotated.annotation import Picture
from handfirst.runtime.systems.annotated.recover import RecoveredHand
from handfirst.runtime.systems.annotated.settings import MOST_CANDIDATES, AnnotatedSettings

LONGEST_NAME = 10_000
ASKED = ("prompt", "label", "seed", "steps", "guidance", "eta", "best_of", "check")

Loop = tuple[float | bool | None, ...]


@dataclass(frozen=True)
class SampleRequest:
    """One picture of hands, of which nothing needs to be said.

    Raises:
        RequestError: one line, for the first field that makes no sense.
    """

    prompt: str | None = None
    """What the picture shows, for models that read text; None: anything."""
    label: str | None = None
    """One of the model's classes, for models that have them; None: any."""
    seed: int = 0
    """0 .. 2**63 - 1."""
    steps: int | None = None
    """1 .. 1000."""
    guidance: float | None = None
    """0 .. 100: towards prompt or label; 1 is without."""
    eta: float | None = None
    """DDIM's eta, 0 .. 1."""
    best_of: int | None = None
    """So many pictures are drawn, 1 .. 64, and the one that is most consistent with its annotation is kept."""
    check: bool = False
    """Whether MediaPipe's points count as well, where it is installed: without being asked they do not, so that equal
    requests give equal pictures on every machine."""

    def __post_init__(self) -> None:
        for name in ("prompt", "label"):
            words = getattr(self, name)
            if words is not None and (not isinstance(words, str) or len(words) > LONGEST_NAME):
                raise RequestError(f"{name}: expected text of at most {LONGEST_NAME} characters, got {words!a:.40}")
        if not isinstance(self.check, bool):
            raise RequestError(f"check: expected true or false, got {self.check!r:.60}")
        numbers = {
            "seed": whole("seed", self.seed, 0, 2**63 - 1),
            "steps": None if self.steps is None else whole("steps", self.steps, 1, 1000),
            "guidance": None if self.guidance is None else real("guidance", self.guidance, 100),
            "eta": None if self.eta is None else real("eta", self.eta, 1),
            "best_of": None if self.best_of is None else whole("best_of", self.best_of, 1, MOST_CANDIDATES),
        }
        for name, value in numbers.items():
            object.__setattr__(self, name, value)  # NumPy's numbers become Python's

    @property
    def loop(self) -> Loop:
        """Resolved requests that agree in it are denoised together."""
        return (self.steps, self.guidance, self.eta, self.best_of)

    def seeded(self, seed: int) -> SampleRequest:
        """The same with another seed."""
        return replace(self, seed=seed)

    def varied(self, number: int) -> SampleRequest:
        """The same work with another seed and, where there are any, other words: contexts of prompts are kept."""
        return replace(self, seed=number, prompt=None if self.prompt is None else f"{self.prompt} {number}")

    def candidate_seed(self, number: int) -> int:
        """Of candidate 0, 1, ...; that of the first is the seed itself, so that one alone is the plain picture."""
        return self.seed if number == 0 else part_seed(self.seed, f"candidate-{number}")

    def resolve(self, settings: AnnotatedSettings) -> SampleRequest:
        """The same request for one model: its defaults in place of every None.

        Raises:
            RequestError: it asks for what this model has not: words, a label, an annotation, so many steps.
        """
        if self.prompt is not None and settings.text is None:
            raise RequestError("prompt: expected none, as this model reads no text")
        if self.label is not None and self.label not in settings.classes:
            has = (
                f"one of {', '.join(settings.classes)}" if settings.classes else "none, as this model knows no classes"
            )
            raise RequestError(f"label: expected {has}, got {self.label!a:.60}")
        filled = {
            name: default for name, default in settings.defaults.model_dump().items() if getattr(self, name) is None
        }
        resolved = replace(self, **filled)
        most = settings.schedule.train_steps
        if resolved.steps is not None and resolved.steps > most:
            raise RequestError(f"steps: expected at most {most}, the model's training steps, got {resolved.steps}")
        if settings.told is None and resolved.guidance != 1:
            raise RequestError("guidance: expected 1, as this model is told nothing that could guide it")
        if settings.annotation == "none" and (resolved.best_of != 1 or resolved.check):
            name = "check" if resolved.check else "best_of"
            raise RequestError(f"{name}: expected none, as this model draws no annotation to judge a picture by")
        return resolved


@dataclass(frozen=True, eq=False)
class SampleResult:
    """A picture of hands, and what it says about itself."""

    image: Picture
    """uint8 RGB [S, S, 3]."""
    annotation: Picture | None
    """uint8 [S, S, 3] as the network drew it; None for models without."""
    hands: tuple[RecoveredHand, ...]
    """What the annotation shows, the left one first."""
    consistency: float | None
    """0 .. 1, see consistency.py; None for models without an annotation."""
    candidate: int
    """Which of `best_of` it is, from 0."""
    scores: tuple[float, ...]
    """Consistency of every candidate; empty for models without an annotation."""
    request: SampleRequest
    """As it was carried out."""
    seconds: dict[str, float]
    """Wall time of text, sample, decode, recover and total; of the batch, where in one."""
    warnings: tuple[str, ...] = ()

    @property
    def seed(self) -> int:
        """The request's seed."""
        return self.request.seed

    @property
    def asked(self) -> dict[str, Any]:
        """The request's words and numbers, defaults filled in, the picture's size, and how consistent it is."""
        said = {name: getattr(self.request, name) for name in ASKED if getattr(self.request, name) is not None}
        height, width = self.image.shape[:2]
        found = {} if self.consistency is None else {"consistency": round(self.consistency, 4)}
        return {**said, "width": width, "height": height, **found, "candidate": self.candidate}
