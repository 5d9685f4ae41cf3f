"""A hand by forward kinematics: capsules for the tracer and the 21 joints of COCO-WholeBody / MediaPipe.

Hand frame: y from the wrist to the fingers, z out of the palm, x towards the thumb (right hand; a left hand is its
mirror image). Units are centimetres of an adult hand. The joints are offset from the bones to where MediaPipe puts
its landmarks (the median residual over open hands).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from handfirst.training.data.procedural.geometry import Matrix, Vector, X, Y, Z, mix, rotation, unit, vector
from handfirst.training.data.procedural.gestures import Flexion, Gesture, Thumb
from handfirst.training.data.procedural.scene import Capsule, Frame, Link, Owner, Part, Scene

WRIST_CREASE = -0.15  # y in the hand frame where the hand ends


@dataclass(frozen=True)
class FingerBones:
    """Knuckle position, phalanx lengths, radii at the four joints, fan angle, convergence when flexed."""

    knuckle: tuple[float, float, float]
    lengths: tuple[float, float, float]
    radii: tuple[float, float, float, float]
    fan: float
    converge: float
    carpal_radius: float
    knuckle_radius: float


FINGER_BONES = (
    FingerBones((2.45, 8.9, 0.05), (4.3, 2.5, 2.2), (1.02, 0.86, 0.76, 0.62), -11.0, 4.0, 1.35, 1.02),
    FingerBones((0.35, 9.1, 0.2), (4.8, 2.9, 2.3), (1.04, 0.88, 0.78, 0.64), -1.0, 0.0, 1.3, 1.02),
    FingerBones((-1.6, 8.6, 0.1), (4.4, 2.7, 2.3), (0.98, 0.83, 0.73, 0.60), 8.0, -4.0, 1.25, 0.98),
    FingerBones((-3.25, 7.6, -0.2), (3.4, 2.0, 2.0), (0.88, 0.72, 0.64, 0.54), 19.0, -9.0, 1.2, 0.9),
)
FOLDED_FLESH = 0.1  # folded fingers press against each other and grow that much wider
THUMB_ROOT: Vector = vector(1.75, 1.9, 0.7)
THUMB_LENGTHS = (4.5, 3.3, 2.9)
THUMB_RADII = (1.35, 1.08, 0.98, 0.76)


@dataclass(frozen=True)
class Chain:
    """A digit's joints [4,3] from root to tip, unit bone directions and palmar directions [3,3]."""

    joints: Vector
    bones: Vector
    palmar: Vector

    @property
    def folded(self) -> float:
        """0 for a straight finger to 1 for one that is folded into the palm."""
        return float(np.clip((-(self.bones[0] @ self.bones[1]) + 0.5) / 0.75, 0.0, 1.0))


def finger_chain(bones: FingerBones, flexion: Flexion, spread: float) -> Chain:
    """Forward kinematics of one finger in the hand frame."""
    folded = max(0.0, min(1.0, flexion[0] / 80.0))
    turn = rotation(Z, bones.fan * spread * (1.0 - 0.8 * folded)) @ rotation(X, flexion[0])
    turn = rotation(Y, -bones.converge * 1.5 * folded) @ turn
    axis = turn @ X
    return _bend_chain(np.array(bones.knuckle), turn @ Y, turn @ Z, axis, (0.0, *flexion[1:]), bones.lengths)


def thumb_chain(thumb: Thumb) -> Chain:
    """Forward kinematics of the thumb in the hand frame."""
    turn = rotation(Y, -thumb.abduction) @ rotation(Z, thumb.flexion)
    bone = turn @ unit((0.70, 0.70, 0.12))
    palmar = turn @ vector(-0.55, 0.35, 0.75)
    palmar = rotation(bone, -thumb.twist) @ unit(palmar - bone * float(palmar @ bone))
    return _bend_chain(THUMB_ROOT, bone, palmar, np.cross(bone, palmar), (0.0, thumb.mcp, thumb.ip), THUMB_LENGTHS)


def thumb_raise(bone: Vector) -> float:
    """How far the thumb's metacarpal stands out of the palm: sine of the angle."""
    return float(bone[2])


def _bend_chain(
    root: Vector, bone: Vector, palmar: Vector, axis: Vector, bends: Flexion, lengths: tuple[float, float, float]
) -> Chain:
    """Lay three bones end to end, each turned about `axis` by its bend."""
    joints, bones, palms = [root], [], []
    for bend, length in zip(bends, lengths, strict=True):
        turn = rotation(axis, bend)
        bone, palmar = turn @ bone, turn @ palmar
        bones.append(bone)
        palms.append(palmar)
        joints.append(joints[-1] + bone * length)
    return Chain(np.array(joints), np.array(bones), np.array(palms))


@dataclass(frozen=True)
class HandShape:
    """How a hand is put into a scene: its frame, side, thickness, and how long a forearm it brings along."""

    axes: Matrix
    origin: Vector
    left: bool
    scale: float = 1.0
    fat: float = 1.0
    forearm: float = 0.0
    wrist_flexion: float = 0.0
    wrist_deviation: float = 0.0
    sleeve_from: float | None = None  # where a sleeve begins, cm below the wrist
    sleeve_width: float = 0.35


class HandBuilder:
    """Adds one hand to a scene."""

    def __init__(self, scene: Scene, shape: HandShape, link: Link | None = None) -> None:
        mirror = np.diag([-1.0 if shape.left else 1.0, 1.0, 1.0])
        self.scene, self.shape, self.link = scene, shape, link
        self.frame = Frame(shape.axes @ mirror, shape.origin, shape.scale)
        self.frame_index = scene.add_frame(self.frame)
        self.owner = Owner.LEFT_HAND if shape.left else Owner.RIGHT_HAND

    def build(self, gesture: Gesture) -> Vector:
        """Add the groups of the hand; the 21 joints [21,3] in scene space."""
        thumb = thumb_chain(gesture.thumb)
        fingers = [
            finger_chain(bones, flexion, gesture.spread)
            for bones, flexion in zip(FINGER_BONES, gesture.fingers, strict=True)
        ]
        palm = self._add_palm(thumb)
        self._add_thumb(thumb, palm)
        for bones, chain in zip(FINGER_BONES, fingers, strict=True):
            self._add_finger(bones, chain, palm)
        if self.shape.sleeve_from is not None:
            self._add_sleeve(self.shape.sleeve_from)
        return np.array([self.frame.point(p) for p in hand_joints(thumb, fingers)])

    def _capsule(
        self, a: Vector, b: Vector, ra: float, rb: float, part: Part,
        palmar: Vector = Z, squash: float = 1.0, nail: bool = False,
    ) -> Capsule:  # fmt: skip
        """A capsule given in the hand frame, flattened towards `palmar`."""
        dorsal = self.frame.axes @ -palmar
        width = self.shape.fat * self.shape.scale
        return Capsule(
            self.frame.point(a), self.frame.point(b), ra * width, rb * width, part,
            axis=dorsal, squash=squash, owner=self.owner, dorsal=dorsal, frame=self.frame_index, nail=nail,
        )  # fmt: skip

    def _add_palm(self, thumb: Chain) -> int:
        """Metacarpals, thenar and hypothenar pads, the web of the thumb, and the forearm."""
        make = self._capsule
        metacarpal = thumb.joints[1]
        root, bone, palmar = THUMB_ROOT, thumb.bones[0], thumb.palmar[0]
        capsules = []
        for bones in FINGER_BONES:
            knuckle = np.array(bones.knuckle)
            carpal = vector(knuckle[0] * 0.42, 1.2, 0.1)
            end = knuckle + vector(0.0, -0.1, 0.05)
            capsules.append(make(carpal, end, bones.carpal_radius, bones.knuckle_radius, Part.PALM, squash=1.12))
        belly = root + (metacarpal - root) * 0.72 + palmar * 0.2
        capsules.append(make(root + vector(-0.1, 0.2, 0.35), belly, 1.45, 1.15, Part.PALM))
        capsules.append(make(vector(-1.9, 1.6, 0.55), vector(-2.75, 5.4, 0.45), 1.25, 1.0, Part.PALM))
        capsules.append(make(vector(2.3, 8.0, 0.35), vector(-2.7, 7.0, 0.25), 0.9, 0.85, Part.PALM))
        for first, second in pairwise(FINGER_BONES):  # flesh between the knuckles
            a, b = np.array(first.knuckle), np.array(second.knuckle)
            capsules.append(make(a + vector(0, 0.25, 0.05), b + vector(0, 0.25, 0.05), 0.72, 0.68, Part.PALM))
        capsules.append(make(vector(1.6, 4.6, 0.0), root + bone * THUMB_LENGTHS[0] * 0.6, 0.75, 0.85, Part.PALM))
        raised = float(np.clip((thumb_raise(bone) - 0.45) / 0.3, 0.0, 1.0))
        if raised > 0:  # the muscle between thumb and index finger, which closes a fist at that side
            capsules.append(make(vector(2.2, 6.3, 0.5), mix(root, metacarpal, 0.85), 0.9, 1.05 * raised, Part.PALM))
        if self.shape.forearm > 0:
            capsules += self._forearm(0.0, Part.FOREARM, 0.0)
        return self.scene.add(capsules, 0.85 * self.shape.scale, self.link)

    def _wrist(self) -> Matrix:
        return rotation(X, self.shape.wrist_flexion) @ rotation(Z, self.shape.wrist_deviation)

    def _forearm(self, start: float, part: Part, grow: float) -> list[Capsule]:
        """Radius and ulna: a narrow wrist that widens down the arm; `grow` thickens it (a sleeve)."""
        make, turn, length = self._capsule, self._wrist(), self.shape.forearm
        capsules = []
        for side in (1.0, -1.0):
            wrist = vector(side * 1.05, 0.6, 0.0)
            narrow = turn @ vector(side, -2.2, 0.0)
            elbow = turn @ vector(side * 1.35, -length, 0.0)
            if part == Part.FOREARM:
                capsules.append(make(wrist, narrow, 1.35, 1.42, part, squash=1.1))
            begin = turn @ vector(side * (1.0 + 0.35 * max(start - 2.2, 0) / length), -max(start, 2.2), 0.0)
            if part == Part.FOREARM or start > 2.2:
                capsules.append(make(begin, elbow, 1.42 + grow, 1.5 + 0.07 * length + grow, part, squash=1.05))
            else:
                first = turn @ vector(side, -start, 0.0)
                capsules.append(make(first, narrow, 1.42 + grow, 1.42 + grow, part, squash=1.05))
                capsules.append(make(narrow, elbow, 1.42 + grow, 1.5 + 0.07 * length + grow, part, squash=1.05))
        return capsules

    def _add_sleeve(self, start: float) -> None:
        grow = self.shape.sleeve_width
        self.scene.add(self._forearm(start + 1.42 + grow, Part.SLEEVE, grow), 0.85 * self.shape.scale)

    def _add_thumb(self, chain: Chain, palm: int) -> None:
        make, r, lengths = self._capsule, THUMB_RADII, THUMB_LENGTHS
        root, metacarpal, joint, tip = chain.joints
        (b0, b1, b2), (p0, p1, p2) = chain.bones, chain.palmar
        capsules = [
            make(root + b0 * lengths[0] * 0.35, metacarpal, r[0] * 0.95, r[1], Part.THUMB_BASE, p0),
            make(metacarpal, metacarpal + b1 * lengths[1] * 0.55, r[1], r[2] * 0.93, Part.THUMB, p1),
            make(metacarpal + b1 * lengths[1] * 0.5, joint, r[2] * 0.93, r[2], Part.THUMB, p1),
            make(joint, tip - b2 * 0.75, r[2], r[3], Part.TIP, p2, squash=1.12, nail=True),
            make(joint + b2 + p2 * 0.12, tip - b2 * 0.95 + p2 * 0.1, 0.8, 0.66, Part.PAD, p2),
        ]
        self._add_digit(capsules, 0.28, palm, root + b0 * lengths[0] * 0.45, (1.2, 2.4, 0.12))

    def _add_finger(self, bones: FingerBones, chain: Chain, palm: int) -> None:
        make, (l0, l1, _) = self._capsule, bones.lengths
        r = np.array(bones.radii) * (1.0 + FOLDED_FLESH * chain.folded)
        m, p, q, t = chain.joints
        (b0, b1, b2), (p0, p1, p2) = chain.bones, chain.palmar
        capsules = [
            make(m, m + b0 * l0 * 0.55, r[0], r[1] * 0.97, Part.PROXIMAL, p0),
            make(m + b0 * l0 * 0.15 + p0 * 0.18, p - b0 * 0.8 + p0 * 0.12, r[0] * 0.9, r[1] * 0.88, Part.PROXIMAL, p0),
            make(m + b0 * l0 * 0.5, p, r[1] * 0.96, r[1], Part.PROXIMAL, p0),
            make(p, p + b1 * l1 * 0.5, r[1], r[2] * 0.97, Part.MIDDLE, p1),
            make(p + b1 * l1 * 0.5, q, r[2] * 0.97, r[2], Part.MIDDLE, p1),
            make(p + b1 * 0.7 + p1 * 0.12, q - b1 * 0.6 + p1 * 0.1, r[2] * 0.92, r[2] * 0.88, Part.MIDDLE, p1),
            make(q, t - b2 * 0.62, r[2] * 0.98, r[3], Part.TIP, p2, squash=1.1, nail=True),
            make(q + b2 * 0.8 + p2 * 0.1, t - b2 * 0.8 + p2 * 0.12, r[3], r[3] * 0.92, Part.PAD, p2),
        ]
        self._add_digit(capsules, 0.252, palm, m + b0 * 0.2, (1.1, 1.6, 0.06))

    def _add_digit(
        self, capsules: list[Capsule], blend: float, palm: int, anchor: Vector, widths: tuple[float, float, float]
    ) -> None:
        """Join a digit to the palm; `widths` are the blend at the anchor, its fall-off and the far blend."""
        s = self.shape.scale
        near, falloff, far = (w * s for w in widths)
        self.scene.add(capsules, blend * s, Link(palm, self.frame.point(anchor), near, falloff, far))


def hand_joints(thumb: Chain, fingers: list[Chain]) -> Vector:
    """The 21 key points [21,3] in the hand frame: wrist, thumb (4), index, middle, ring, little (4 each)."""
    _, metacarpal, joint, tip = thumb.joints
    points = [
        vector(-0.1, 1.2, 0.0),
        THUMB_ROOT + vector(0.55, 1.2, 0.1),
        metacarpal,
        joint - thumb.bones[1] * 0.45,
        tip - thumb.bones[2] * 0.5,
    ]
    for finger in fingers:
        m, p, q, t = finger.joints
        b0, b1, b2 = finger.bones
        points += [m - b0 * 0.05, p - b0 * 0.45, q - b1 * 0.45, t - b2 * 0.5]
    return np.array(points)
