"""Puts a picture's 2D points into a world of millimetres before a random camera, so that a projection must find them.

Joint names are written out after InterHand2.6M's skeleton.txt and MediaPipe's hands; the readers have their own tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
INTERHAND = [f"{finger}{joint}" for finger in FINGERS for joint in (4, 3, 2, 1)] + ["wrist"]
MEDIAPIPE = ["wrist"] + [f"{finger}{joint}" for finger in FINGERS for joint in (1, 2, 3, 4)]


@dataclass(frozen=True)
class Lens:
    """A calibrated camera; OpenCV's coordinates, in which pixel i is centred at i."""

    rotation: np.ndarray
    position: np.ndarray
    focal: np.ndarray
    centre: np.ndarray
    fisheye: np.ndarray | None = None

    @property
    def matrix(self) -> np.ndarray:
        return np.array([[self.focal[0], 0, self.centre[0]], [0, self.focal[1], self.centre[1]], [0, 0, 1.0]])

    @property
    def translation(self) -> np.ndarray:
        return -self.rotation @ self.position


def random_lens(rng: np.random.Generator, size: int, fisheye: bool = False) -> Lens:
    """A camera somewhere within a metre, looking anywhere."""
    rotation = cv2.Rodrigues(rng.normal(0, 1.2, 3))[0]
    coefficients = np.array([0.05, -0.02, 0.01, -0.003]) * rng.uniform(0.5, 1.5, 4) if fisheye else None
    focal = size * rng.uniform(0.8, 1.2, 2) if fisheye else size * rng.uniform(2, 4, 2)
    return Lens(rotation, rng.uniform(-900, 900, 3), focal, size / 2 + rng.uniform(-5, 5, 2), coefficients)


def into_world(rng: np.random.Generator, points: np.ndarray, lens: Lens) -> np.ndarray:
    """points [N, 2] with pixel i centred at i + .5 -> [N, 3] in the world, each at a depth of its own."""
    flat = (points - 0.5).astype(np.float64)
    if lens.fisheye is None:
        rays = (flat - lens.centre) / lens.focal
    else:
        rays = cv2.fisheye.undistortPoints(flat[:, None], lens.matrix, lens.fisheye)[:, 0]
    depth = rng.uniform(400, 700, (len(points), 1))
    inside = np.concatenate([rays * depth, depth], axis=1)
    return (inside - lens.translation) @ lens.rotation


def interhand_order(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two hands [21, ...] in MediaPipe's order -> [42, ...]: right first, tip to base, wrist last."""
    order = [MEDIAPIPE.index(name) for name in INTERHAND]
    return np.concatenate([right[order], left[order]])
