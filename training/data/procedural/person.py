"""A person: skeleton, poses, the capsules of body and limbs, and the 133 joints.

Body frame: y up, z towards the viewer, x towards the person's left; centimetres; the neck's base is the origin.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.face import paint_face
from handfirst.training.data.procedural.geometry import (
    Matrix,
    Vector,
    X,
    Y,
    Z,
    frame_along,
    mix,
    pick,
    rotation,
    two_bone_ik,
    unit,
    vector,
)
from handfirst.training.data.procedural.gestures import GESTURES
from handfirst.training.data.procedural.hair import Hair
from handfirst.training.data.procedural.hand import HandBuilder, HandShape
from handfirst.training.data.procedural.head import add_head, body_face_points, face_points
from handfirst.training.data.procedural.outfit import SLEEVE_ENDS, Outfit
from handfirst.training.data.procedural.paint import Paint
from handfirst.training.data.procedural.palette import skin_word
from handfirst.training.data.procedural.scene import Capsule, Frame, Link, Part, Scene
from handfirst.training.data.procedural.skin import Skin
from handfirst.training.data.procedural.surface import Surface

Floats = NDArray[np.float64]

HEAD_PIVOT = vector(0.0, 8.0, 0.0)
UPPER_ARM, FOREARM = 28.0, 25.0
POSES = ("front", "side", "up", "down")
POSE_WEIGHTS = (0.38, 0.20, 0.27, 0.15)
# Wrist in the body frame, (low, high) for x (outwards), y and z.
WRIST_RANGES = {
    "front": ((0, 20), (-30, -2), (18, 32)),
    "side": ((32, 48), (-28, 5), (5, 25)),
    "up": ((20, 34), (5, 24), (8, 25)),
    "down": ((22, 34), (-48, -38), (2, 14)),
}
IRISES = np.array([[0.09, 0.05, 0.03], [0.09, 0.05, 0.03], [0.10, 0.16, 0.25], [0.10, 0.14, 0.07]])


@dataclass(frozen=True)
class Person:
    """A dressed person: the scene, the joints [133,3] in the body frame, and the paint."""

    scene: Scene
    joints: Floats
    skin: Skin
    hair: Hair
    outfit: Outfit
    iris: Floats
    attributes: dict[str, str]

    def paint(self, surface: Surface, paint: Paint) -> None:
        """Skin everywhere, then face, hair and clothes over it."""
        self.skin.apply(surface, paint)
        paint_face(surface, paint, self.skin, self.hair, self.iris)
        self.hair.apply(surface, paint)
        self.outfit.apply(surface, paint)


@dataclass(frozen=True)
class Arm:
    """One arm's side (+1 for the person's left), joints and hand pose."""

    side: float
    shoulder: Vector
    elbow: Vector
    wrist: Vector
    hand_axes: Matrix
    pose: str

    @property
    def direction(self) -> Vector:
        """Unit direction of the forearm."""
        return unit(self.wrist - self.elbow)


def build_person(rng: np.random.Generator, gestures: tuple[str, str], fixed: tuple[bool, bool]) -> Person:
    """A random person whose (left, right) hands make `gestures`; a hanging hand is relaxed unless it is `fixed`."""
    scene, joints = Scene(), np.zeros((133, 3))
    skin = Skin.draw(rng)
    hair = Hair.draw(rng, skin.level)
    outfit = Outfit.draw(rng)
    width = float(rng.uniform(0.92, 1.1))
    torso = _add_torso(scene, rng, width)
    _add_head_and_hair(scene, rng, hair, torso, joints)
    words = []
    for side, gesture, keep in zip((1.0, -1.0), gestures, fixed, strict=True):
        arm = _pose_arm(rng, side, width)
        gesture = "relaxed" if arm.pose == "down" and not keep else gesture
        words.append(gesture)
        _add_arm(scene, arm, outfit.sleeve, torso)
        shape = HandShape(arm.hand_axes, arm.wrist, left=side > 0, scale=0.98, fat=1.05)
        link = Link(len(scene.groups) - 1, arm.wrist, 2.0, 5.0, 0.2)
        hand = HandBuilder(scene, shape, link).build(GESTURES[gesture].jittered(rng))
        left = side > 0
        joints[91:112] = hand if left else joints[91:112]
        joints[112:133] = joints[112:133] if left else hand
        first = 5 if left else 6
        joints[[first, first + 2, first + 4]] = arm.shoulder, arm.elbow, arm.wrist
        _add_leg(scene, rng, side, torso, joints)
    attributes = {
        "skin": skin_word(skin.level),
        "hair": hair.style,
        "hair_colour": hair.word,
        **outfit.attributes,
        "left_hand": words[0],
        "right_hand": words[1],
    }
    return Person(scene, joints, skin, hair, outfit, IRISES[int(rng.integers(len(IRISES)))], attributes)


def _add_torso(scene: Scene, rng: np.random.Generator, width: float) -> int:
    """Two columns from chest to hips with a waist, and the slopes of the shoulders."""
    waist, bust, belly = rng.uniform(0.92, 1.05), rng.uniform(-0.8, 0.8), rng.uniform(-0.5, 1.5)
    capsules = []
    for side in (-1.0, 1.0):
        chest = vector(side * 5.2 * width, -10.0, 0.0)
        middle = vector(side * 4.4 * width, -30.0, 0.0)
        hips = vector(side * 5.4 * width, -47.0, 0.0)
        capsules.append(Capsule(chest, middle, 11.0, 9.6 * waist, Part.TOP, squash=1.08))
        capsules.append(Capsule(middle, hips, 9.6 * waist, 10.4, Part.TOP, squash=1.04))
        shoulder = vector(side * (17.0 * width - 1), -2.5, 0.0)
        capsules.append(Capsule(shoulder, vector(side * 3.0, 2.0, -1.0), 5.2, 5.0, Part.TOP))
        capsules.append(Capsule(vector(side * 5, -15, 4), vector(side * 3, -16, 4), 6 + bust, 6 + bust, Part.TOP))
    capsules.append(Capsule(vector(0, -9, 0.6), vector(0, -45, 0.6), 10.8, 10.4, Part.TOP))
    capsules.append(Capsule(vector(0, -32, 1.5), vector(0, -42, 1.5), 8.8 + belly, 8.8 + belly, Part.TOP))
    return scene.add(capsules, 6.0)


def _add_head_and_hair(scene: Scene, rng: np.random.Generator, hair: Hair, torso: int, joints: Floats) -> None:
    turn = rotation(Y, rng.normal(0, 14)) @ rotation(X, rng.normal(0, 6)) @ rotation(Z, rng.normal(0, 5))
    frame = Frame(turn, HEAD_PIVOT - turn @ HEAD_PIVOT)
    add_head(scene, frame, torso)
    hair.add_to(scene, frame)
    face = face_points()
    joints[23:91] = [frame.point(p) for p in face]
    joints[0:5] = [frame.point(p) for p in body_face_points(face)]


def _pose_arm(rng: np.random.Generator, side: float, width: float) -> Arm:
    """A random reach, elbow out and down, palm to or from the viewer."""
    shoulder = vector(side * 17.0 * width, -3.0, 0.0)
    pose = pick(rng, POSES, POSE_WEIGHTS)
    target = np.array([rng.uniform(*bounds) for bounds in WRIST_RANGES[pose]]) * [side, 1.0, 1.0]
    pole = vector(side * 0.7, -1.0, -0.35) + rng.normal(0, 0.15, 3)
    elbow, wrist = two_bone_ik(shoulder, target, UPPER_ARM, FOREARM, pole)
    palm = vector(rng.normal(0, 0.5), rng.normal(0, 0.4), 1.0) * (1.0 if rng.uniform() < 0.6 else -1.0)
    along = unit(wrist - elbow)
    lift = float(rng.uniform(0, 0.5)) if pose in ("front", "side") else 0.0
    return Arm(side, shoulder, elbow, wrist, frame_along(along + vector(0, lift, 0), palm), pose)


def _add_arm(scene: Scene, arm: Arm, sleeve: str, torso: int) -> None:
    """Upper arm and forearm, in a long or a short sleeve; the last group added is the wrist's."""
    s, e, w, fd = arm.shoulder, arm.elbow, arm.wrist, arm.direction
    to_torso = Link(torso, s, 5.0, 12.0, 0.3)
    if sleeve == "long":
        upper = scene.add([Capsule(s, e, 5.0, 4.3, Part.SLEEVE, along=(0.0, UPPER_ARM))], 0.5, to_torso)
        lower = Capsule(
            mix(e, s, 0.05), w - fd * 3.0, 4.3, 3.3, Part.SLEEVE, along=(UPPER_ARM - 1.4, SLEEVE_ENDS[sleeve])
        )
        scene.add([lower], 1.0, Link(upper, e, 2.0, 8.0, 0.3))
        scene.add([Capsule(mix(e, w, 0.7), w - fd * 0.5, 2.7, 2.5, Part.SKIN)], 0.5)
        return
    short = Capsule(s, mix(s, e, 0.62), 5.2, 5.0, Part.SLEEVE, along=(0.0, SLEEVE_ENDS[sleeve]))
    scene.add([short], 0.5, to_torso)
    bare = [
        Capsule(mix(s, e, 0.3), e, 4.4, 3.9, Part.SKIN),
        Capsule(e, w - fd * 0.5, 3.9, 2.55, Part.SKIN),
        Capsule(e, mix(e, w, 0.55), 4.0, 3.6, Part.SKIN),
    ]
    scene.add(bare, 1.5)


def _add_leg(scene: Scene, rng: np.random.Generator, side: float, torso: int, joints: Floats) -> None:
    """Hip, knee, ankle and shoe of one side."""
    hip = vector(side * 9.0, -50.0, 0.0)
    knee = hip + vector(side * rng.uniform(0, 5), -42.0, 3.0)
    ankle = knee + vector(side * rng.uniform(-1, 3), -41.0, -3.0)
    trousers = [Capsule(hip, knee, 9.2, 6.4, Part.TROUSERS), Capsule(knee, ankle, 6.2, 5.0, Part.TROUSERS)]
    scene.add(trousers, 1.5, Link(torso, hip, 2.0, 10.0, 0.3))
    heel, toe = ankle + vector(0, -5, -3), ankle + vector(side * 3.0, -6, 14)
    scene.add([Capsule(heel, toe, 3.6, 3.0, Part.SHOE, axis=Y, squash=1.2)], 0.5)
    left = side > 0
    o, f = (11, 17) if left else (12, 20)
    joints[o], joints[o + 2], joints[o + 4] = hip, knee, ankle
    joints[f] = ankle + vector(side * 1.5, -7, 16)  # big toe
    joints[f + 1] = ankle + vector(side * 5.0, -7, 13)  # small toe
    joints[f + 2] = ankle + vector(0, -7, -6)  # heel
