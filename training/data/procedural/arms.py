"""Where the arms go: reaches that suit a gesture, a hand at the mouth, two hands together, or an arm that hangs.

Body frame as in person.py. A gesture says how its hand is turned; among random reaches the one is taken whose forearm
leads to such a hand with the least bend of the wrist, clear of the face and of the other hand.
"""

from dataclasses import dataclass

import numpy as np

from handfirst.training.data.procedural.geometry import (
    Matrix,
    Vector,
    X,
    Y,
    Z,
    frame_along,
    pick,
    rotation,
    two_bone_ik,
    unit,
    vector,
)
from handfirst.training.data.procedural.gestures import Gesture
from handfirst.training.data.procedural.hand import FINGER_BONES, finger_chain
from handfirst.training.data.procedural.pairs import FLIP, Pair

UPPER_ARM, FOREARM, HAND_SCALE = 28.0, 25.0, 0.98
POSES = ("front", "side", "up", "down")
POSE_WEIGHTS = {"bust": (0.45, 0.12, 0.43, 0.0), "half": (0.38, 0.20, 0.27, 0.15), "full": (0.38, 0.20, 0.27, 0.15)}
# Wrist in the body frame, (low, high) for x (outwards), y and z.
WRIST_RANGES = {
    "front": ((0, 20), (-30, -2), (18, 32)),
    "side": ((32, 48), (-28, 5), (5, 25)),
    "up": ((20, 34), (5, 24), (8, 25)),
    "down": ((22, 34), (-48, -38), (2, 14)),
}
CLOSE_RANGES = {  # in a bust
    "front": ((4, 19), (-20, -1), (18, 31)),
    "side": ((22, 30), (-15, 4), (8, 25)),
    "up": ((15, 25), (-1, 13), (10, 26)),
}
OUT_OF_PICTURE = ((17, 24), (-56, -50), (-2, 6))
REACHES = 14  # random reaches to choose from
WRIST_LIMIT = 50.0  # degrees between the forearm and the hand
FACE: Vector = vector(0.0, 20.5, 0.0)
LOWER_LIP: Vector = vector(0.0, 14.2, 9.0)


@dataclass(frozen=True)
class Arm:
    """One arm's side (+1 for the person's left), joints and hand frame; `hangs` where the hand does nothing."""

    side: float
    shoulder: Vector
    elbow: Vector
    wrist: Vector
    hand_axes: Matrix
    hangs: bool = False

    @property
    def direction(self) -> Vector:
        """Unit direction of the forearm."""
        return unit(self.wrist - self.elbow)

    @property
    def hand_centre(self) -> Vector:
        """A point in the middle of the hand."""
        return np.asarray(self.wrist + self.hand_axes[:, 1] * 8.5, dtype=np.float64)


def shoulder_of(side: float, width: float) -> Vector:
    """The shoulder joint [3]."""
    return vector(side * 17.0 * width, -3.0, 0.0)


def hanging_arm(rng: np.random.Generator, side: float, width: float, out_of_picture: bool = False) -> Arm:
    """An arm that hangs, the palm to the thigh; straight down where the hand must not be seen."""
    ranges = OUT_OF_PICTURE if out_of_picture else WRIST_RANGES["down"]
    shoulder = shoulder_of(side, width)
    elbow, wrist = _reach(rng, shoulder, ranges, side, vector(side * 0.7, -1.0, -0.35))
    palm = vector(-side, rng.normal(0, 0.3), rng.normal(0, 0.5))
    return Arm(side, shoulder, elbow, wrist, frame_along(wrist - elbow, palm), hangs=True)


def gesturing_arm(
    rng: np.random.Generator, side: float, width: float, gesture: Gesture, frame: str, other: Arm | None
) -> Arm:
    """The best of some random reaches for a gesture; now and then an arm that hangs, in wide frames."""
    pose = pick(rng, POSES, POSE_WEIGHTS[frame])
    if pose == "down":
        return hanging_arm(rng, side, width)
    ranges = (CLOSE_RANGES if frame == "bust" else WRIST_RANGES)[pose]
    shoulder, careless = shoulder_of(side, width), bool(rng.uniform() < 0.05)
    arms, costs = [], []
    for _ in range(REACHES):
        wanted = _wanted_hand(rng, side, gesture)
        pole = vector(side * rng.uniform(0.2, 1.3), rng.uniform(-1.0, 0.2), -0.35)
        elbow, wrist = _reach(rng, shoulder, ranges, side, pole)
        axes, bend = _bent(wanted, wrist - elbow)
        arms.append(Arm(side, shoulder, elbow, wrist, axes))
        costs.append(max(0.0, bend - 25) / 12 + (0.0 if careless else _in_the_way(arms[-1], other)) + rng.uniform())
    return arms[int(np.argmin(costs))]


def mouth_arm(
    rng: np.random.Generator, side: float, width: float, gesture: Gesture, head: Matrix, pivot: Vector
) -> Arm:
    """A raised index finger before the mouth of a head turned by `head` about `pivot`."""
    yaw = float(rng.choice([70.0, 150.0])) + float(rng.normal(0, 12))
    turn = rotation(Z, -float(rng.uniform(5, 25))) @ rotation(X, float(rng.normal(-3, 5))) @ rotation(Y, yaw)
    mirror = vector(-1.0, 1.0, 1.0) if side > 0 else vector(1.0, 1.0, 1.0)
    axes = frame_along(turn @ Y * mirror, turn @ Z * mirror)
    tip = finger_chain(FINGER_BONES[0], gesture.fingers[0], gesture.spread).joints[3] * mirror
    lip = pivot + head @ (LOWER_LIP - pivot + vector(0.0, 2.6, 2.2))
    shoulder = shoulder_of(side, width)
    wrist = lip - axes @ tip * HAND_SCALE
    elbow, wrist = two_bone_ik(shoulder, wrist, UPPER_ARM, FOREARM, vector(side * 0.7, -1.0, -0.2))
    return Arm(side, shoulder, elbow, wrist, axes)


def pair_arms(rng: np.random.Generator, width: float, pair: Pair) -> tuple[tuple[Arm, Arm], Pair]:
    """(left, right) arms of two hands together before the chest or the shoulders, and the pair put there."""
    centre = vector(rng.uniform(-6, 6), rng.uniform(-14, 1), rng.uniform(24, 29))
    turn = rotation(Y, rng.normal(0, 14)) @ rotation(X, rng.normal(4, 8)) @ rotation(Z, rng.normal(0, 6))
    left, right = (hand.turned(turn, centre) for hand in pair)
    arms = []
    for side, hand in ((1.0, left), (-1.0, right)):
        pole = vector(side, -0.75 + rng.normal(0, 0.15), -0.3)
        shoulder = shoulder_of(side, width)
        elbow, wrist = two_bone_ik(shoulder, hand.origin, UPPER_ARM, FOREARM, pole)
        arms.append(Arm(side, shoulder, elbow, wrist, hand.axes))
    return (arms[0], arms[1]), (left, right)


def _reach(
    rng: np.random.Generator, shoulder: Vector, ranges: tuple[tuple[int, int], ...], side: float, pole: Vector
) -> tuple[Vector, Vector]:
    """Elbow and wrist of a random reach into `ranges`."""
    target = np.array([rng.uniform(*bounds) for bounds in ranges]) * [side, 1.0, 1.0]
    return two_bone_ik(shoulder, target, UPPER_ARM, FOREARM, pole + rng.normal(0, 0.1, 3))


def _wanted_hand(rng: np.random.Generator, side: float, gesture: Gesture) -> Matrix:
    """How the hand would be turned if the arm did not matter: upright or tilted, the right face to the viewer."""
    palm = gesture.face == "palm" or (gesture.face == "either" and rng.uniform() < 0.6)
    yaw = float(rng.normal(10, 20) if palm else rng.normal(160, 20))  # of a right hand: rather inwards than outwards
    lean, pitch = float(rng.normal(-8, 13)), float(rng.normal(6, 12))
    turn = rotation(Z, lean) @ rotation(X, pitch) @ rotation(Y, yaw) @ rotation(Z, gesture.tilt)
    flip = FLIP if side > 0 else np.ones(3)
    return frame_along(turn @ Y * flip, turn @ Z * flip)


def _bent(wanted: Matrix, forearm: Vector) -> tuple[Matrix, float]:
    """The wanted hand frame, drawn towards the forearm as far as a wrist needs it; and the bend that was wanted."""
    along, y = unit(forearm), wanted[:, 1]
    bend = float(np.degrees(np.arccos(np.clip(along @ y, -1, 1))))
    if bend <= WRIST_LIMIT:
        return wanted, bend
    back = rotation(np.cross(y, along), bend - WRIST_LIMIT)
    return back @ wanted, bend


def _in_the_way(arm: Arm, other: Arm | None) -> float:
    """A cost: hands before the face, or where the other hand is."""
    centre = arm.hand_centre
    x, y = (centre - FACE)[:2]
    cost = 6.0 * max(0.0, 1.6 - float(np.hypot(x / 9.5, y / 11.0)))
    if other is not None:
        cost += 3.0 * max(0.0, 1.0 - float(np.linalg.norm((centre - other.hand_centre)[:2])) / 18.0)
    return cost
