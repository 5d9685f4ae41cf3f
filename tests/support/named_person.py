"""One person under the names of its points, laid out in OpenPose's and COCO's orders from their documentation.

The readers have tables of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SIZE = (640, 480)
# OpenPose's orders, written out again from its documentation; the readers have tables of their own
BODY_18 = ["nose", "neck", "rsho", "relb", "rwri", "lsho", "lelb", "lwri", "rhip", "rkne", "rank", "lhip", "lkne",
           "lank", "reye", "leye", "rear", "lear"]  # fmt: skip
FEET = ["lbig", "lsmall", "lheel", "rbig", "rsmall", "rheel"]
BODY_25 = [*BODY_18[:8], "midhip", *BODY_18[8:], *FEET]
COCO_17 = ["nose", "leye", "reye", "lear", "rear", "lsho", "rsho", "lelb", "relb", "lwri", "rwri", "lhip", "rhip",
           "lkne", "rkne", "lank", "rank"]  # fmt: skip


def truth() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    named = {name: rng.uniform(20, 460, 2).round(2) for name in dict.fromkeys([*COCO_17, *FEET, "midhip"])}
    named["neck"] = (named["lsho"] + named["rsho"]) / 2
    parts = {"face": rng.uniform(20, 460, (70, 2)), "left": rng.uniform(20, 460, (21, 2))}
    return named | {k: v.round(2) for k, v in parts.items()} | {"right": rng.uniform(20, 460, (21, 2)).round(2)}


TRUTH = truth()
WHOLE = np.concatenate([
    [TRUTH[n] for n in COCO_17], [TRUTH[n] for n in FEET], TRUTH["face"][:68], TRUTH["left"], TRUTH["right"],
])  # fmt: skip


def flat(points: Any, confidence: float = 1.0) -> list[float]:
    return [v for x, y in np.asarray(points).tolist() for v in (x, y, confidence)]


def openpose(names: list[str], scale: tuple[float, float] = (1, 1), **top: Any) -> dict[str, Any]:
    person = {
        "pose_keypoints_2d": flat(np.array([TRUTH[n] for n in names]) / scale),
        "face_keypoints_2d": flat(TRUTH["face"] / scale),
        "hand_left_keypoints_2d": flat(TRUTH["left"] / scale),
        "hand_right_keypoints_2d": flat(TRUTH["right"] / scale),
    }
    return {"people": [person], **top}


def coco(image: int = 3) -> dict[str, Any]:
    return {
        "id": 1, "image_id": image, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81,
        "keypoints": flat(WHOLE[:17], 2), "foot_kpts": flat(WHOLE[17:23], 2), "face_kpts": flat(WHOLE[23:91], 2),
        "lefthand_kpts": flat(WHOLE[91:112], 2), "righthand_kpts": flat(WHOLE[112:], 2), "lefthand_valid": True,
    }  # fmt: skip


CANVAS = {"canvas_width": SIZE[0], "canvas_height": SIZE[1]}
