"""A picture of what was read: the skeleton on a dark canvas, each hand's crop as a square with its name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pictures import frame, write
from handfirst.runtime.pose.crop import HandCrop, UsualCrop, hand_crops
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.skeleton import draw_skeleton

SHORT_SIDE = 512
GROUND = 24
FRAME = (255, 200, 60)


def draw_pose(pose: Pose) -> NDArray[np.uint8]:
    """uint8 RGB [H, W, 3] in the pose's proportions, at least 512 pixels on the shorter side and at most 2048."""
    scale = min(max(1.0, SHORT_SIDE / min(pose.width, pose.height)), max(1.0, 2048 / max(pose.width, pose.height)))
    scale = min(scale, 2048 / max(pose.width, pose.height)) if max(pose.width, pose.height) > 2048 else scale
    width, height = max(1, round(pose.width * scale)), max(1, round(pose.height * scale))
    fitted = pose.fit(width, height)
    picture = np.maximum(draw_skeleton(fitted, width, height), GROUND).astype(np.uint8)
    for person in fitted.people:
        for crop in hand_crops(person, UsualCrop(), width, height):
            _frame(picture, crop)
    return picture


def _frame(picture: NDArray[np.uint8], crop: HandCrop) -> None:
    corners = crop.similarity.inverse().apply(np.array([[0.0, 0.0], [crop.size, crop.size]]))
    (x0, y0), (x1, y1) = np.clip(np.rint(corners), -32000, 32000).astype(int).tolist()
    frame(picture, (x0, y0, x1, y1), FRAME)
    label = " + ".join(crop.sides) + " hand"
    write(picture, label, x0 + 4, y0 + 16, 13, FRAME)
