"""What a person's two hands do: a gesture each, one of them out of the picture, or something together."""

from dataclasses import dataclass

import numpy as np

from handfirst.training.data.procedural.arms import Arm, gesturing_arm, hanging_arm, mouth_arm, pair_arms
from handfirst.training.data.procedural.geometry import Matrix
from handfirst.training.data.procedural.gestures import GESTURES, Gesture
from handfirst.training.data.procedural.head import HEAD_PIVOT
from handfirst.training.data.procedural.pairs import PAIRS, draw_pair

ONE_HANDED = 0.15  # of the busts show a single hand


@dataclass(frozen=True)
class PosedHand:
    """An arm, the pose of its hand, and the word for it: a gesture, a pair, or "none" out of the picture."""

    arm: Arm
    pose: Gesture
    word: str


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
