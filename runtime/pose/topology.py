"""COCO-WholeBody's 133 points: which index is what, and what is joined to what. Tables only.

Order [mmpose, coco_wholebody]: 17 body, 6 feet, 68 face, 21 left hand, 21 right hand.
"""

from __future__ import annotations

from typing import Literal

POINTS = 133
BODY = slice(0, 17)
FEET = slice(17, 23)
FACE = slice(23, 91)
LEFT_HAND = slice(91, 112)
RIGHT_HAND = slice(112, 133)

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
HANDS: dict[Side, slice] = {"left": LEFT_HAND, "right": RIGHT_HAND}

ELBOW: dict[Side, int] = {"left": 7, "right": 8}
WRIST: dict[Side, int] = {"left": 9, "right": 10}
NOSE = 0
SHOULDERS = LEFT_SHOULDER, RIGHT_SHOULDER = 5, 6
HIPS = 11, 12

# A hand's 21 points: wrist, then four joints of each finger from the palm to the tip (MediaPipe and OpenPose agree).
FINGERS: tuple[tuple[int, ...], ...] = tuple(tuple(range(1 + 4 * f, 5 + 4 * f)) for f in range(5))
HAND_EDGES: tuple[tuple[int, int], ...] = tuple(
    edge for f in FINGERS for edge in ((0, f[0]), (f[0], f[1]), (f[1], f[2]), (f[2], f[3]))
)

# OpenPose's 18 body points in their order, as COCO indices; None is the neck, the middle of the shoulders.
OPENPOSE_18: tuple[int | None, ...] = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
# Its limbs as indices into those 18, in drawing order (the last one uses no colour of its own).
OPENPOSE_LIMBS: tuple[tuple[int, int], ...] = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
# BODY_25 puts the middle of the hips at 8 and the feet at 19-24 (big toe, small toe, heel; left first).
OPENPOSE_25: tuple[int | None, ...] = (
    0, None, 6, 8, 10, 5, 7, 9, None, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, 17, 18, 19, 20, 21, 22,
)  # fmt: skip
# DWPose's 134 put OpenPose's body first; all that follows stands as in COCO-WholeBody.
DWPOSE_134: tuple[int | None, ...] = (*OPENPOSE_18, *range(BODY.stop, POINTS))
