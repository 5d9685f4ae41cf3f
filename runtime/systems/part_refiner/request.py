"""What a caller asks, validated at the door, and what comes back.

Knows nothing about models: a field that is None means "the model's default", which `RepairRequest.resolve` fills in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from handfirst.runtime.asking import real, whole
from handfirst.runtime.errors import RequestError
from handfirst.runtime.photos import Photo, encode_photo
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.size import LARGEST_SIDE
from handfirst.runtime.pose.topology import SIDES
from handfirst.runtime.systems.part_refiner.crops import Crop, Rgb
from handfirst.runtime.systems.part_refiner.finding import Finding, Part, Wanted, find_parts
from handfirst.runtime.systems.part_refiner.masks import Mask
from handfirst.runtime.systems.part_refiner.settings import PartRefinerSettings

ASKED = ("hand", "seed", "strength", "steps", "guidance", "inpaint_steps", "inpaint_guidance", "eta", "check")
"""What a picture tells of its request; photo and pose are too long for that."""
SECOND_STAGE = ("inpaint_steps", "inpaint_guidance")
"""What only a model of two stages can be asked."""

Loop = tuple[float | None, ...]


@dataclass(frozen=True, eq=False)
class RepairRequest:
    """One photo whose hands are to be repaired.

    Raises:
        RequestError: one line, for the first field that makes no sense.
    """

    image: Rgb
    """uint8 RGB [H, W, 3], upright."""
    pose: Pose | None = None
    """Key points of the people in it, in its pixels: where hands are, and how they shall be. None: the pose picture
    says so."""
    pose_picture: Rgb | None = None
    """How the parts shall be, uint8 RGB [H, W, 3] like the photo and black around them: a render, or a depth picture.
    None: it is drawn from the key points."""
    hand: Wanted = None
    """Which hands: None for all, "left" or "right", or the number, from 1, of one that is found."""
    seed: int = 0
    """0 .. 2**63 - 1."""
    strength: float | None = None
    """How much of the old part is given up, above 0 .. 1: at 1 the part is drawn from noise alone."""
    steps: int | None = None
    """1 .. 1000, before strength cuts those of the stage that draws the part."""
    guidance: float | None = None
    """Of the stage that draws the part, 0 .. 100: towards the reference, or the prompt; 1 is without."""
    inpaint_steps: int | None = None
    """Of the second stage, 1 .. 1000. None: as `steps` where these are given. Stays None where one stage does all."""
    inpaint_guidance: float | None = None
    """Of the second stage, 0 .. 100; 1 is without. Stays None where one stage does all."""
    eta: float | None = None
    """DDIM's eta, 0 .. 1."""
    check: bool = False
    """Whether a hand stays as it was where a detector sees the wanted one worse in the repaired picture."""
    photo: Photo | None = None
    """Where `image` is from, if from a file: its alpha, grey and colour profile are in the picture's file again."""
    notes: tuple[str, ...] = ()
    """What was met while photo and pose were read; the result repeats it."""

    def __post_init__(self) -> None:
        _check_picture("image", self.image)
        height, width = self.image.shape[:2]
        if min(height, width) < 1 or max(height, width) > LARGEST_SIDE:
            raise RequestError(
                f"image: expected sides of 1 to {LARGEST_SIDE} pixels, got {width}x{height}; make the photo smaller"
            )
        if self.pose is None and self.pose_picture is None:
            raise RequestError("pose: expected key points or a pose picture, got neither")
        if self.pose is not None and not isinstance(self.pose, Pose):
            raise RequestError(f"pose: expected a Pose (read_pose makes one), got {type(self.pose).__name__}")
        if self.pose_picture is not None:
            _check_picture("pose_picture", self.pose_picture)
            if self.pose_picture.shape != self.image.shape:
                got = "x".join(map(str, self.pose_picture.shape[1::-1]))
                raise RequestError(f"pose_picture: expected the photo's size, {width}x{height}, got {got}")
        if not isinstance(self.check, bool):
            raise RequestError(f"check: expected true or false, got {self.check!r:.60}")
        numbers = {
            "hand": _hand(self.hand),
            "seed": whole("seed", self.seed, 0, 2**63 - 1),
            "strength": None if self.strength is None else _above_zero("strength", self.strength),
            "steps": None if self.steps is None else whole("steps", self.steps, 1, 1000),
            "guidance": None if self.guidance is None else real("guidance", self.guidance, 100),
            "inpaint_steps": None
            if self.inpaint_steps is None
            else whole("inpaint_steps", self.inpaint_steps, 1, 1000),
            "inpaint_guidance": (
                None if self.inpaint_guidance is None else real("inpaint_guidance", self.inpaint_guidance, 100)
            ),
            "eta": None if self.eta is None else real("eta", self.eta, 1),
        }
        for name, value in numbers.items():
            object.__setattr__(self, name, value)  # NumPy's numbers become Python's

    @property
    def loop(self) -> Loop:
        """Resolved requests that agree in it are denoised together."""
        return (self.strength, self.steps, self.guidance, self.inpaint_steps, self.inpaint_guidance, self.eta)

    def seeded(self, seed: int) -> RepairRequest:
        """The same with another seed: banks of its references are kept."""
        return replace(self, seed=seed)

    def varied(self, number: int) -> RepairRequest:
        """The same work with another seed and slightly other pixels: no bank that was kept serves it."""
        return replace(self, seed=number, image=self.image ^ np.uint8(number & 7))

    def resolve(self, settings: PartRefinerSettings) -> RepairRequest:
        """The same request for one model: its defaults in place of every None, the pose in the photo's pixels.

        Raises:
            RequestError: it asks for more steps than the model was trained with, for those of a stage that it has not,
                or a pose of another shape.
        """
        absent = SECOND_STAGE if settings.drawn_by == "control" else ()
        if asked := [name for name in absent if getattr(self, name) is not None]:
            raise RequestError(f"{asked[0]}: this model has one stage; say {asked[0].removeprefix('inpaint_')} instead")
        filled = {
            name: default
            for name, default in settings.defaults.model_dump().items()
            if name not in absent and getattr(self, name) is None
        }
        if "inpaint_steps" in filled and self.steps is not None:
            filled["inpaint_steps"] = self.steps
        resolved = replace(self, pose=self._fitted_pose(), **filled)
        most = settings.schedule.train_steps
        for name in ("steps", "inpaint_steps"):
            if (getattr(resolved, name) or 0) > most:
                raise RequestError(
                    f"{name}: expected at most {most}, the model's training steps, got {getattr(resolved, name)}"
                )
        return resolved

    def finding(self, settings: PartRefinerSettings) -> Finding:
        """Which parts of a resolved request's photo are repaired; raises as find_parts does."""
        height, width = self.image.shape[:2]
        return find_parts(self.pose, self.pose_picture, self.hand, settings.part, width, height)

    def _fitted_pose(self) -> Pose | None:
        """In the photo's pixels: a pose of the photo at another size of the same shape is scaled.

        Raises:
            RequestError: the shapes differ by more than rounding.
        """
        if self.pose is None:
            return None
        height, width = self.image.shape[:2]
        scale = width / self.pose.width
        if abs(self.pose.height * scale - height) > max(1.0, scale):
            raise RequestError(
                f"pose: expected one of the photo, {width}x{height} or a size of that shape, got a canvas of "
                f"{self.pose.width}x{self.pose.height}"
            )
        return self.pose.fit(width, height)


def _check_picture(name: str, picture: object) -> None:
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
        return
    got = f"{picture.dtype} {list(picture.shape)}" if isinstance(picture, np.ndarray) else type(picture).__name__
    raise RequestError(f"{name}: expected uint8 RGB [H, W, 3], got {got}")


def _hand(value: object) -> Wanted:
    if value is None or (isinstance(value, str) and value in SIDES):
        return value
    if isinstance(value, str):
        raise RequestError(f"hand: expected left, right or a number from 1, got {value!a:.40}")
    return whole("hand", value, 1, 1000)


def _above_zero(name: str, value: object) -> float:
    number = real(name, value, 1)
    if number == 0:
        raise RequestError(f"{name}: expected a number above 0, up to 1, got 0; at 0 nothing would be repaired")
    return number


@dataclass(frozen=True, eq=False)
class PartResult:
    """One repaired part, in the crop's own pixels."""

    part: Part
    before: Rgb
    """uint8 [S, S, 3]: as it was."""
    pose: Rgb
    """uint8 [S, S, 3]: how it shall be."""
    mask: Mask
    """bool [S, S]: what is repainted, the ring."""
    refined: Rgb | None
    """uint8 [S, S, 3]: what the first stage drew; None where the model has none."""
    after: Rgb
    """uint8 [S, S, 3]: what was put back."""
    kept: bool = False
    """Whether the photo kept it as it was, since a detector sees the wanted hand worse in the repaired one."""

    @property
    def name(self) -> str:
        """Of this part of the picture."""
        return self.part.name

    @property
    def crop(self) -> Crop:
        """Where it is."""
        return self.part.crop


@dataclass(frozen=True, eq=False)
class RepairResult:
    """A repaired photo."""

    image: Rgb
    """uint8 RGB [H, W, 3]; equal to the request's wherever `mask` is False."""
    mask: Mask
    """bool [H, W], True where the photo may have changed."""
    parts: tuple[PartResult, ...]
    """In the order in which they were found."""
    request: RepairRequest
    """As it was carried out."""
    seconds: dict[str, float]
    """Wall time of find, text, refine, refine_decode, inpaint, inpaint_decode, paste and total; of the batch, where in
    one."""
    warnings: tuple[str, ...] = ()
    """How many parts were found, which are not repaired and why; what was met while photo and pose were read."""

    @property
    def seed(self) -> int:
        """The request's seed."""
        return self.request.seed

    def encoded(self, kind: Literal["png", "webp"], xmp: bytes | None) -> bytes:
        """See OwnFile."""
        return encode_photo(self.image, self.request.photo or Photo(self.image), kind, xmp)

    @property
    def asked(self) -> dict[str, Any]:
        """The request's words and numbers, defaults filled in, the photo's size, and the parts that were repaired."""
        height, width = self.mask.shape
        said = {name: getattr(self.request, name) for name in ASKED}
        return {**said, "width": width, "height": height, "parts": [part.name for part in self.parts if not part.kept]}
