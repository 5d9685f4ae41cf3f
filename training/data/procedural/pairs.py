"""Two hands that touch or cross: how the two lie to each other, under HaGRID's names where it has one.

Pair frame: y up, z towards the viewer, x towards the person's left, about the place where the hands meet; centimetres.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from handfirst.training.data.procedural.geometry import Matrix, Vector, frame_along, unit, vector
from handfirst.training.data.procedural.gestures import GESTURES, Gesture, Thumb

FLIP = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Placed:
    """One hand of a pair: its frame, its pose, and the bend of the wrist that leads the forearm out of the way."""

    axes: Matrix
    origin: Vector
    pose: Gesture
    flexion: float = 0.0

    def mirrored(self) -> "Placed":
        """The same with the other hand."""
        axes = frame_along(self.axes[:, 1] * FLIP, self.axes[:, 2] * FLIP)
        return Placed(axes, self.origin * FLIP, self.pose, self.flexion)

    def turned(self, turn: Matrix, shift: Vector) -> "Placed":
        """Rotated about the meeting place, then moved."""
        return Placed(turn @ self.axes, turn @ self.origin + shift, self.pose, self.flexion)


Pair = tuple[Placed, Placed]  # left, right
_CURL = (30.0, 50.0, 30.0)
_ARCH = Gesture((_CURL, _CURL, _CURL, _CURL), 0.0, Thumb(62, -25, 2, 0, 20))
_HOOK = (62.0, 52.0, 26.0)
_WRAP = Gesture((_HOOK, _HOOK, _HOOK, _HOOK), 0.0, Thumb(18, 16, 8, 10, 10))


def _holy(rng: np.random.Generator) -> Pair:
    """Palms together, fingers up."""
    right = Placed(frame_along(vector(0.06, 1, 0), vector(1, 0, 0)), vector(-1.75, -9, 0), GESTURES["stop"], 50)
    return right.mirrored(), right


def _xsign(rng: np.random.Generator) -> Pair:
    """Crossed wrists or hands, one before the other."""
    lean = np.radians(rng.uniform(36, 50))
    pose = GESTURES[("stop", "palm", "fist")[int(rng.integers(3))]]
    face = 1.0 if rng.uniform() < 0.5 else -1.0
    along, crossing = vector(np.sin(lean), np.cos(lean), 0), float(rng.uniform(1.5, 5))
    front = Placed(frame_along(along, vector(0, 0, face)), vector(0, 0, 1.9) - along * crossing, pose)
    behind = Placed(front.axes, vector(0, 0, -1.9) - along * crossing, pose).mirrored()
    return behind, front


def _timeout(rng: np.random.Generator) -> Pair:
    """A T: the fingertips of one upright hand under the palm of a level one."""
    upright = Placed(frame_along(vector(0, 1, 0.05), vector(1, 0, 0.55)), vector(0, -18, 0), GESTURES["stop"], 50)
    level = frame_along(vector(-1, 0.05, 0), vector(0, -1, 0.15))
    origin = upright.origin + upright.axes @ vector(0.3, 18.6, 0) - level @ vector(0, float(rng.uniform(8, 11)), 1.3)
    return Placed(level, origin, GESTURES["stop"]), upright


def _heart(rng: np.random.Generator) -> Pair:
    """Fingers arch to the middle and meet; the thumbs meet below."""
    axes = frame_along(vector(0.5, 0.866, 0.05), vector(0.866, -0.5, 0.2))
    right = Placed(axes, vector(-12.0, -4, 0), _ARCH, 0)
    return right.mirrored(), right


def _clasped(rng: np.random.Generator) -> Pair:
    """Each hand's fingers round the other's edge."""
    right = Placed(frame_along(unit((0.55, 0.75, -0.1)), vector(0.4, -0.15, -1)), vector(-5, -6, 1.5), _WRAP, 10)
    left = Placed(frame_along(unit((-0.65, 0.65, 0.1)), vector(0.1, 0.1, 1)), vector(5.5, -6, -1.5), _WRAP, 10)
    return left, right


PAIRS: dict[str, Callable[[np.random.Generator], Pair]] = {
    "holy": _holy,
    "xsign": _xsign,
    "timeout": _timeout,
    "hand_heart": _heart,
    "clasped": _clasped,
}


def draw_pair(rng: np.random.Generator, name: str) -> Pair:
    """(left, right) of the named pair with jittered poses; either hand may take either part."""
    left, right = PAIRS[name](rng)
    if rng.uniform() < 0.5:
        left, right = right.mirrored(), left.mirrored()
    return _loose(rng, left), _loose(rng, right)


def _loose(rng: np.random.Generator, hand: Placed) -> Placed:
    return Placed(hand.axes, hand.origin, hand.pose.jittered(rng, 0.5), hand.flexion)
