"""Which hand is the left one, where a data set does not say it.

Key points alone cannot tell: a left palm and the back of a right hand look alike. So each rule leans on something else,
and the name of the rule goes with the answer:

- "leading_hand": the data set says which hand shows the gesture; the other one is the other hand;
- "order": of two boxes, the one further left in the picture is the person's right hand. This is the advice of HaGRID's
  authors (github.com/hukenovs/hagrid/issues/57); crossed arms break it;
- "facing": the gesture is shown with the palm (or the back) to the camera, so thumb and little finger tell;
- "position": a single hand in the left half of the picture is taken for a right hand. Little more than a guess.

How often the last two are right on HaGRID has not been measured.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import Side
from handfirst.runtime.pose.view import hand_view

Rule = Literal["leading_hand", "order", "facing", "position"]
Floats = NDArray[np.float64]

OTHER: dict[Side, Side] = {"left": "right", "right": "left"}
NO_GESTURE = "no_gesture"
PALMS = frozenset({"four", "ok", "one", "palm", "peace", "stop", "three", "three2", "two_up"})
BACKS = frozenset({"peace_inverted", "stop_inverted", "two_up_inverted"})
"""How HaGRID's gestures face the camera, after its pictures of them; those that are shown either way are left out."""


def sides_of(boxes: Floats, labels: list[str], leading: Side | None, hand: Floats | None) -> tuple[list[Side], Rule]:
    """The side of the hand in each box.

    Args:
        boxes: one or two hands, [N, 4]: x, y, width, height as parts of the picture's size.
        labels: the gesture of each, "no_gesture" for none.
        leading: the hand that shows the gesture, None where it is not known.
        hand: with one box, its hand's points [21, 2] in pixels, MediaPipe's order.

    Returns:
        One side per box, and the rule that told.
    """
    gesturing = [label != NO_GESTURE for label in labels]
    if leading and (gesturing.count(True) == 1 or gesturing == [False]):
        return [leading if g else OTHER[leading] for g in gesturing], "leading_hand"
    middles = boxes[:, 0] + boxes[:, 2] / 2
    if len(boxes) == 2:
        return (["right", "left"] if middles[0] < middles[1] else ["left", "right"]), "order"
    side = facing_side(hand, labels[0]) if hand is not None else None
    if side:
        return [side], "facing"
    return ["right" if middles[0] < 0.5 else "left"], "position"


def facing_side(hand: Floats, label: str) -> Side | None:
    """The side of a hand [21, 2] whose gesture says how it faces the camera; None where it does not, or edge-on."""
    if label not in PALMS | BACKS:
        return None
    shown = "palm" if label in PALMS else "back"
    as_left = hand_view(hand, "left")
    if as_left == "side":
        return None
    return "left" if as_left == shown else "right"
