"""A scene: capsules in smoothly blended groups, and the local frames that their paint refers to."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from handfirst.training.data.procedural.geometry import Matrix, Vector, vector


class Part(IntEnum):
    """What a capsule belongs to: it decides how its surface is painted."""

    PALM = 0
    FOREARM = 1  # the forearm that a hand brings along
    THUMB_BASE = 2
    THUMB = 3
    PROXIMAL = 4
    MIDDLE = 5
    TIP = 6
    PAD = 7
    SKIN = 8
    FACE = 9
    HAIR = 10
    TOP = 11
    TROUSERS = 12
    SHOE = 13
    SLEEVE = 14


class Owner(IntEnum):
    """Which hand a capsule is part of; the values are those of the hand mask."""

    BODY = 0
    LEFT_HAND = 1
    RIGHT_HAND = 2


@dataclass(frozen=True)
class Frame:
    """A local frame in scene space: scene = origin + axes @ local * scale. A mirrored frame is a left hand's."""

    axes: Matrix
    origin: Vector
    scale: float = 1.0

    def point(self, local: Vector) -> Vector:
        """Local point [3] to scene space."""
        return np.asarray(self.origin + self.axes @ local * self.scale, dtype=np.float64)

    def local(self, points: Vector) -> Vector:
        """Scene points [N,3] to local coordinates."""
        return np.asarray((points - self.origin) @ self.axes / self.scale, dtype=np.float64)


@dataclass(frozen=True)
class Capsule:
    """A tapered capsule from `a` (radius `ra`) to `b` (radius `rb`), flattened `squash` times along `axis`.

    `dorsal` is the back-of-the-hand direction, `frame` an index into the scene's frames (-1: none), `nail` marks a
    fingertip, `along` is the way run along the limb at `a` and `b` (cm): sleeves lay their pattern and cuffs by it.
    """

    a: Vector
    b: Vector
    ra: float
    rb: float
    part: Part
    axis: Vector = field(default_factory=lambda: vector(0.0, 0.0, 1.0))
    squash: float = 1.0
    owner: Owner = Owner.BODY
    dorsal: Vector = field(default_factory=lambda: vector(0.0, 0.0, 1.0))
    frame: int = -1
    nail: bool = False
    along: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Link:
    """A blend with a parent group: width `near` at `anchor`, falling to `far` over `falloff`."""

    parent: int
    anchor: Vector
    near: float
    falloff: float
    far: float


@dataclass(frozen=True)
class Group:
    """Capsules smoothly joined with width `blend`."""

    capsules: list[Capsule]
    blend: float
    link: Link | None = None


class Scene:
    """Groups of capsules and the local frames that their paint refers to."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.frames: list[Frame] = []

    def add(self, capsules: list[Capsule], blend: float, link: Link | None = None) -> int:
        """Append a group; its index."""
        self.groups.append(Group(capsules, blend, link))
        return len(self.groups) - 1

    def add_frame(self, frame: Frame) -> int:
        """Append a frame; its index."""
        self.frames.append(frame)
        return len(self.frames) - 1

    @property
    def capsules(self) -> list[Capsule]:
        """All capsules in group order, as the tracer numbers them."""
        return [capsule for group in self.groups for capsule in group.capsules]
