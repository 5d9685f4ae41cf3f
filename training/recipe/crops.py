"""Crops of pictures, cut where they are used: on a GPU the pictures lie there, on a CPU they stay mapped from disk.

Many crops look at the face, where there is one: it is small, and people look there first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handfirst.training.data.arrays import Pictures
from handfirst.training.loop.feed import Draws

CROP = 96
FACE = slice(23, 91)  # of the 133 points
AT_FACE = 0.6  # share of the crops that look at the face


@dataclass(frozen=True, eq=False)
class Windows:
    """B windows of CROP x CROP pixels: their pictures and first rows and columns, int64 [B] each."""

    picture: Tensor
    y: Tensor
    x: Tensor


@dataclass(frozen=True, eq=False)
class CropSource:
    """Pictures to cut from: rgb uint8 [N, S, S, 3], hands uint8 [N, S, S], faces float32 [N, 3] (`face_circle`)."""

    rgb: Tensor
    hands: Tensor
    faces: Tensor

    @staticmethod
    def of(pictures: Pictures, device: torch.device) -> CropSource:
        """All of `pictures`, on `device`."""
        faces = np.array([face_circle(points) or (0, 0, 0) for points in pictures.keypoints], np.float32)
        arrays = (torch.from_numpy(array) for array in (pictures.rgb, pictures.hands, faces))
        return CropSource(*(array.to(device) for array in arrays))

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""
        return int(self.rgb.shape[1])

    def windows(self, picture: Tensor, draws: Draws, grid: int = 1) -> Windows:
        """A window in each of the pictures int64 [B]; y and x are multiples of `grid`."""
        count, room = len(picture), self.size - CROP
        face = self.faces[picture]
        at_face = draws.chance(AT_FACE, count) & (face[:, 2] > 0)
        shift = draws.uniform(-CROP / 4, CROP / 4, 2, count)
        places = []
        for axis in (1, 0):
            anywhere = draws.integers(room + 1, count)
            there = (face[:, axis] - CROP / 2 + shift[axis]).long().clamp(0, room)
            places.append(torch.where(at_face, there, anywhere) // grid * grid)
        return Windows(picture, *places)

    def cut(self, windows: Windows) -> tuple[Tensor, Tensor]:
        """What the windows show: image [B, 3, CROP, CROP] in [-1, 1]; details [B, 1, CROP, CROP]: hands and faces."""
        span = torch.arange(CROP, device=self.rgb.device)
        y, x = (windows.y[:, None] + span)[:, :, None], (windows.x[:, None] + span)[:, None, :]
        picture = windows.picture[:, None, None]
        middle_x, middle_y, radius = self.faces[windows.picture].T[:, :, None, None]
        face = (x - middle_x) ** 2 + (y - middle_y) ** 2 < radius**2
        detail = (self.hands[picture, y, x] > 0) | face
        return to_image(self.rgb[picture, y, x]), detail[:, None].float()

    def draw(self, count: int, draws: Draws) -> tuple[Tensor, Tensor]:
        """`count` crops of random pictures, as `cut` gives them."""
        return self.cut(self.windows(draws.integers(len(self), count), draws))


def to_image(rgb: Tensor) -> Tensor:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W] in [-1, 1], channels last in memory."""
    return (rgb.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def face_circle(keypoints: NDArray[np.float32]) -> tuple[float, float, float] | None:
    """keypoints [133, 3] -> centre x, y and radius of the face in pixels; None where it has no visible points."""
    points = keypoints[FACE][keypoints[FACE, 2] > 0, :2]
    if not len(points):
        return None
    low, high = points.min(0), points.max(0)
    x, y = (low + high) / 2
    return float(x), float(y), 0.75 * float((high - low).max())
