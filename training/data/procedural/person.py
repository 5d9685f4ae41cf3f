"""A person: skeleton, the capsules of body and limbs, the 133 joints, and what the two hands do.

Body frame: y up, z towards the viewer, x towards the person's left; centimetres; the neck's base is the origin.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.arms import (
    HAND_SCALE,
    UPPER_ARM,
    Arm,
    gesturing_arm,
    hanging_arm,
    mouth_arm,
    pair_arms,
)
from handfirst.training.data.procedural.face import paint_face
from handfirst.training.data.procedural.geometry import Matrix, X, Y, Z, mix, rotation, vector
from handfirst.training.data.procedural.gestures import GESTURES, Gesture
from handfirst.training.data.procedural.hair import Hair
from handfirst.training.data.procedural.hand import HandBuilder, HandShape
from handfirst.training.data.procedural.head import HEAD_PIVOT, add_head, body_face_points, face_points
from handfirst.training.data.procedural.outfit import SLEEVE_ENDS, Outfit
from handfirst.training.data.procedural.paint import Paint
from handfirst.training.data.procedural.pairs import PAIRS, draw_pair
from handfirst.training.data.procedural.palette import skin_word
from handfirst.training.data.procedural.scene import Capsule, Frame, Link, Part, Scene
from handfirst.training.data.procedural.skin import Skin
from handfirst.training.data.procedural.surface import Surface

Floats = NDArray[np.float64]

IRISES = np.array([[0.09, 0.05, 0.03], [0.09, 0.05, 0.03], [0.10, 0.16, 0.25], [0.10, 0.14, 0.07]])
ONE_HANDED = 0.15  # of the busts show a single hand


@dataclass(frozen=True)
class PosedHand:
    """An arm, the pose of its hand, and the word for it: a gesture, a pair, or "none" out of the picture."""

    arm: Arm
    pose: Gesture
    word: str


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


def build_person(
    rng: np.random.Generator, gestures: tuple[str, str], fixed: tuple[bool, bool], frame: str = "half"
) -> Person:
    """A random person whose (left, right) hands make `gestures`, or one of PAIRS if both name it.

    A hanging hand is relaxed, and in a bust out of the picture ("none"); a `fixed` gesture is always shown there.
    """
    scene, joints = Scene(), np.zeros((133, 3))
    skin = Skin.draw(rng)
    hair = Hair.draw(rng, skin.level)
    outfit = Outfit.draw(rng)
    width = float(rng.uniform(0.92, 1.1))
    torso = _add_torso(scene, rng, width)
    head = _add_head_and_hair(scene, rng, hair, torso, joints)
    hands = pose_hands(rng, width, gestures, fixed, frame, head)
    for hand in hands:
        _add_arm(scene, hand.arm, outfit.sleeve, torso)
        _add_hand(scene, hand, joints)
        _add_leg(scene, rng, hand.arm.side, torso, joints)
    attributes = {
        "skin": skin_word(skin.level),
        "hair": hair.style,
        "hair_colour": hair.word,
        **outfit.attributes,
        "left_hand": hands[0].word,
        "right_hand": hands[1].word,
    }
    return Person(scene, joints, skin, hair, outfit, _iris(rng, skin.level), attributes)


def _iris(rng: np.random.Generator, skin_level: float) -> Floats:
    """Linear colour of the iris [3]: brown in dark faces."""
    return np.asarray(IRISES[int(rng.integers(2 if skin_level > 3.5 else len(IRISES)))])


def _add_hand(scene: Scene, hand: PosedHand, joints: Floats) -> None:
    """The hand at the end of the arm that was added last, and the joints of both."""
    arm, left = hand.arm, hand.arm.side > 0
    shape = HandShape(arm.hand_axes, arm.wrist, left=left, scale=HAND_SCALE, fat=1.05)
    link = Link(len(scene.groups) - 1, arm.wrist, 2.0, 5.0, 0.2)
    joints[91 if left else 112 :][:21] = HandBuilder(scene, shape, link).build(hand.pose)
    first = 5 if left else 6
    joints[[first, first + 2, first + 4]] = arm.shoulder, arm.elbow, arm.wrist


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


def _add_head_and_hair(scene: Scene, rng: np.random.Generator, hair: Hair, torso: int, joints: Floats) -> Matrix:
    """Head and hair, and their joints; how the head is turned about HEAD_PIVOT [3,3]."""
    turn = rotation(Y, rng.normal(0, 14)) @ rotation(X, rng.normal(0, 6)) @ rotation(Z, rng.normal(0, 5))
    frame = Frame(turn, HEAD_PIVOT - turn @ HEAD_PIVOT)
    add_head(scene, frame, torso)
    hair.add_to(scene, frame)
    face = face_points()
    joints[23:91] = [frame.point(p) for p in face]
    joints[0:5] = [frame.point(p) for p in body_face_points(face)]
    return turn


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


def pose_hands(
    rng: np.random.Generator,
    width: float,
    gestures: tuple[str, str],
    fixed: tuple[bool, bool],
    frame: str,
    head: Matrix,
) -> tuple[PosedHand, PosedHand]:
    """(left, right) hands that make `gestures`; `head` [3,3] is how the head is turned."""
    if gestures[0] in PAIRS:
        arms, pair = pair_arms(rng, width, draw_pair(rng, gestures[0]))
        left, right = (PosedHand(arm, hand.pose, gestures[0]) for arm, hand in zip(arms, pair, strict=True))
        return left, right
    absent = int(rng.integers(2)) if frame == "bust" and not any(fixed) and rng.uniform() < ONE_HANDED else None
    hands: list[PosedHand] = []
    for index, (side, name, keep) in enumerate(zip((1.0, -1.0), gestures, fixed, strict=True)):
        other = hands[0].arm if hands else None
        if index == absent:
            relaxed = GESTURES["relaxed"].jittered(rng)
            hands.append(PosedHand(hanging_arm(rng, side, width, out_of_picture=True), relaxed, "none"))
            continue
        pose = GESTURES[name].jittered(rng)
        silencing = name == "mute" and not any(hand.word == "mute" for hand in hands)
        if silencing:
            arm = mouth_arm(rng, side, width, pose, head, HEAD_PIVOT)
        else:
            arm = gesturing_arm(rng, side, width, pose, frame, other)
        if arm.hangs and not keep:
            name, pose = "relaxed", GESTURES["relaxed"].jittered(rng)
        hands.append(PosedHand(arm, pose, name))
    return hands[0], hands[1]
