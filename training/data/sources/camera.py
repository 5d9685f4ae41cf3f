"""Where a point of the world lies in a picture: pinhole and fisheye cameras as the hand data sets calibrate them.

Both data sets' own loaders use OpenCV's coordinates, whose pixel i is centred at i; here it is centred at i + .5, so
half a pixel is added. Whether the calibrations themselves meant it so is not documented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.sources.entry import UnusableError, numbers

Floats = NDArray[np.float64]
NEAREST = 1.0
"""Points less than this far in front of the camera, in millimetres, are behind it or meaningless."""


@dataclass(frozen=True, eq=False)
class Camera:
    """x = focal * distort(X / Z) + centre, with (X, Y, Z) = rotation @ world + translation.

    Attributes:
        rotation: float64 [3, 3].
        translation: float64 [3], millimetres.
        focal, centre: float64 [2], pixels.
        fisheye: float64 [4], OpenCV's fisheye coefficients; None: no distortion.
    """

    rotation: Floats
    translation: Floats
    focal: Floats
    centre: Floats
    fisheye: Floats | None = None

    def project(self, world: Floats) -> Floats:
        """World points [N, 3] in millimetres -> [N, 3]: x, y in pixels (pixel i centred at i + .5), and 1 where the
        point lies in front of the camera; rows of zeros where it does not."""
        inside = world @ self.rotation.T + self.translation
        seen = inside[:, 2] >= NEAREST
        out = np.zeros((len(world), 3))
        if seen.any():
            out[seen, :2] = self._flat(inside[seen]) + 0.5
            out[seen, 2] = 1
        return out

    def _flat(self, points: Floats) -> Floats:
        if self.fisheye is None:
            return points[:, :2] / points[:, 2:] * self.focal + self.centre
        matrix = np.array([[self.focal[0], 0, self.centre[0]], [0, self.focal[1], self.centre[1]], [0, 0, 1]])
        flat, _ = cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), matrix, self.fisheye)
        return np.asarray(flat[:, 0], np.float64)


def camera_at(position: Any, rotation: Any, focal: Any, centre: Any) -> Camera:
    """A camera given by its position in the world, as InterHand2.6M does it.

    Raises:
        UnusableError: numbers that are no camera.
    """
    turn = numbers(rotation, (3, 3), "camera")
    return _checked(turn, -turn @ numbers(position, (3,), "camera"), focal, centre, None)


def camera_of(entry: Any) -> Camera:
    """A camera given by R, t, focal, princpt and perhaps D, as Re:InterHand does it.

    Raises:
        UnusableError: numbers that are no camera.
    """
    if not isinstance(entry, dict):
        raise UnusableError("camera: not an object")
    rotation = numbers(entry.get("R"), (3, 3), "camera")
    return _checked(rotation, _vector(entry.get("t"), 3), entry.get("focal"), entry.get("princpt"), entry.get("D"))


def _checked(rotation: Floats, translation: Floats, focal: Any, centre: Any, fisheye: Any) -> Camera:
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-2):
        raise UnusableError("camera: no rotation")
    lens = None if fisheye is None else _vector(fisheye, 4)
    pixels = numbers(focal, (2,), "camera")
    if (pixels <= 0).any():
        raise UnusableError("camera: no focal length")
    return Camera(rotation, translation, pixels, numbers(centre, (2,), "camera"), lens)


def _vector(value: Any, length: int) -> Floats:
    """A list of numbers, or a column of them: both have been seen."""
    column = isinstance(value, list) and bool(value) and isinstance(value[0], list)
    return numbers(value, (length, 1) if column else (length,), "camera").reshape(length)
