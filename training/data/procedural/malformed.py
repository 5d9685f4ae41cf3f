"""Hands that are wrong as generated hands are: fused, missing and extra fingers, fingers of wrong length or bent the
wrong way, and smears. The key points stay those of the hand that was meant.
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.geometry import Vector, mix
from handfirst.training.data.procedural.gestures import Gesture
from handfirst.training.data.procedural.hand import (
    FINGER_BONES,
    Chain,
    FingerBones,
    HandBuilder,
    finger_chain,
    hand_joints,
    thumb_chain,
)
from handfirst.training.data.procedural.scene import Part

KINDS = ("missing", "extra", "fused", "bent", "length", "smear")
FINGERS = 4
WEB = 0.9  # radius (cm) of what fuses two fingers: their own, or nearly


@dataclass(frozen=True)
class Faults:
    """What is wrong with a hand; fingers are counted from 0, the index finger. Nothing by default.

    Attributes:
        missing: fingers that are not there.
        extra: an extra finger lies between this one and the next, or beyond the little finger.
        fused: fingers that are one flesh with the next.
        bends: degrees that are added to a finger's flexion at its three joints.
        lengths: factors on the bones of a finger.
        smear: pixels' way in a smear, as a fraction of the picture's side.
    """

    missing: tuple[int, ...] = ()
    extra: int | None = None
    fused: tuple[int, ...] = ()
    bends: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    lengths: dict[int, float] = field(default_factory=dict)
    smear: float = 0.0

    @property
    def words(self) -> str:
        """The kinds of faults, such as "missing, bent"."""
        there = (self.missing, self.extra is not None, self.fused, self.bends, self.lengths, self.smear)
        return ", ".join(kind for kind, wrong in zip(KINDS, there, strict=True) if wrong)


def draw_faults(rng: np.random.Generator) -> Faults:
    """One to three kinds at once."""
    kinds = set(rng.choice(KINDS, int(rng.integers(1, 4)), replace=False).tolist())
    order = rng.permutation(FINGERS).tolist()
    faults = Faults()
    if "missing" in kinds:
        faults = replace(faults, missing=tuple(order[: 1 + int(rng.uniform() < 0.3)]))
    if "extra" in kinds:
        faults = replace(faults, extra=int(rng.integers(FINGERS)))
    if "fused" in kinds:
        faults = replace(faults, fused=(int(rng.integers(FINGERS - 1)),))
    if "bent" in kinds:
        angles = (float(rng.uniform(-35, 35)), float(rng.uniform(-110, -40)), float(rng.uniform(-70, 40)))
        faults = replace(faults, bends=dict.fromkeys(order[-1 - int(rng.uniform() < 0.5) :], angles))
    if "length" in kinds:
        factor = float(rng.uniform(0.45, 0.7) if rng.uniform() < 0.5 else rng.uniform(1.3, 1.6))
        faults = replace(faults, lengths={order[1]: factor})
    if "smear" in kinds:
        faults = replace(faults, smear=float(rng.uniform(0.04, 0.1)))
    return faults


class MalformedHand(HandBuilder):
    """Adds a hand with faults to a scene; without any it is the hand that HandBuilder adds."""

    def build_with(self, gesture: Gesture, faults: Faults) -> Vector:
        """The groups of the hand as it is; the 21 joints [21,3] of the hand as it was meant, in scene space."""
        meant = [
            finger_chain(bones, flexion, gesture.spread)
            for bones, flexion in zip(FINGER_BONES, gesture.fingers, strict=True)
        ]
        thumb = thumb_chain(gesture.thumb)
        palm = self._add_palm(thumb)
        self._add_thumb(thumb, palm)
        made: dict[int, tuple[FingerBones, Chain]] = {}
        for i, bones in enumerate(FINGER_BONES):
            if i not in faults.missing:
                made[i] = _finger(bones, gesture, i, faults)
                self._add_finger(*made[i], palm)
        if faults.extra is not None:
            self._add_finger(*_extra(gesture, faults.extra), palm)
        for i in faults.fused:
            if i in made and i + 1 in made:
                self._fuse(made[i][1], made[i + 1][1])
        if self.shape.sleeve_from is not None:
            self._add_sleeve(self.shape.sleeve_from)
        return np.array([self.frame.point(p) for p in hand_joints(thumb, meant)])

    def _fuse(self, a: Chain, b: Chain) -> None:
        """Flesh between two fingers, from their knuckles to their last joints."""
        capsules = []
        for share in (0.0, 0.25, 0.5, 0.75):
            for k in range(3):
                start = mix(mix(a.joints[k], a.joints[k + 1], share), mix(b.joints[k], b.joints[k + 1], share), 0.3)
                end = mix(mix(a.joints[k], a.joints[k + 1], share), mix(b.joints[k], b.joints[k + 1], share), 0.7)
                part = (Part.PROXIMAL, Part.MIDDLE, Part.PAD)[k]
                width = WEB * (1.0, 0.85, 0.7)[k]
                capsules.append(self._capsule(start, end, width, width, part, a.palmar[k]))
        self.scene.add(capsules, 0.4 * self.shape.scale)


def _finger(bones: FingerBones, gesture: Gesture, i: int, faults: Faults) -> tuple[FingerBones, Chain]:
    factor, (a, b, c) = faults.lengths.get(i, 1.0), faults.bends.get(i, (0.0, 0.0, 0.0))
    x, y, z = bones.lengths
    longer = replace(bones, lengths=(x * factor, y * factor, z * factor))
    flexion = gesture.fingers[i]
    return longer, finger_chain(longer, (flexion[0] + a, flexion[1] + b, flexion[2] + c), gesture.spread)


def _extra(gesture: Gesture, i: int) -> tuple[FingerBones, Chain]:
    """Half-way to the next finger, or as far beyond the last one."""
    here = FINGER_BONES[i]
    other, share = (FINGER_BONES[i + 1], 0.5) if i + 1 < FINGERS else (FINGER_BONES[i - 1], -0.7)
    x, y, z = mix(here.knuckle, other.knuckle, share).tolist()
    fan = here.fan + (other.fan - here.fan) * share
    bones = replace(here, knuckle=(x, y, z), fan=fan)
    return bones, finger_chain(bones, gesture.fingers[i], max(gesture.spread, 0.8))


def smeared(
    rgb: NDArray[np.uint8], points: NDArray[np.float32], much: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """rgb uint8 [S,S,3] with two smears about some of `points` [n,2] in pixels, which fade out around them."""
    size = len(rgb)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) + np.float32(0.5)
    out = rgb
    for _ in range(2):
        px, py = points[int(rng.integers(len(points)))].tolist()
        angle, radius = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.08, 0.16)) * size
        near = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2)).astype(np.float32)
        way = np.float32(much * size) * near
        moved = cv2.remap(
            out, x - 0.5 + way * np.float32(np.cos(angle)), y - 0.5 + way * np.float32(np.sin(angle)),
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        soft = cv2.GaussianBlur(moved, (0, 0), 0.012 * size)
        out = np.rint(moved + near[..., None] * (soft.astype(np.float32) - moved)).astype(np.uint8)
    return out
