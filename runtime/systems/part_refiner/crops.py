"""A part's square of the photo: cut out, resized, and put back so that nothing else changes.

Only the patch is ever resized. Outside the area that may change the photo stays the same to the last bit, and so does
every pixel that a fade leaves as it was. The square may leave the photo; what lies beyond looks like the photo's edge,
since a black border is nothing that the networks have learnt, and was measured to colour all of what they paint.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.geometry import Similarity, nearest, warp
from handfirst.runtime.systems.part_refiner.masks import Mask

Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Crop:
    """A square of a photo.

    Attributes:
        x, y: its upper left corner in the photo's pixels; it may lie outside.
        side: in the photo's pixels.
        size: side of its picture in its own pixels.
    """

    x: float
    y: float
    side: float
    size: int

    @property
    def to_crop(self) -> Similarity:
        """The photo's pixels -> the crop's."""
        scale = self.size / self.side
        return Similarity(scale, -scale * self.x, -scale * self.y)

    def window(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of a photo that the square covers, whole pixels; empty where it lies outside."""
        return _whole(self.y, self.side, height), _whole(self.x, self.side, width)

    def cut(self, photo: Rgb, beyond: Literal["edge", "black"] = "edge") -> Rgb:
        """The crop's picture uint8 [size, size, 3] of a photo uint8 [H, W, 3].

        Args:
            beyond: what lies outside of the photo: the nearest of its pixels, or black, as around pose pictures.
        """
        height, width = photo.shape[:2]
        rows, columns = self.window(height, width)
        seen = photo[rows, columns]
        if not seen.size:
            return np.zeros((self.size, self.size, 3), np.uint8)
        to_window = self.to_crop.inverse().then(Similarity(1.0, -columns.start, -rows.start))
        picture = np.rint(warp(seen, to_window, self.size, self.size)).astype(np.uint8)
        if beyond == "edge":  # repeated in the crop, not in the photo: however far a hand may reach, memory stays small
            picture = picture[self._nearest(self.y, height)][:, self._nearest(self.x, width)]
        return picture

    def _nearest(self, start: float, most: int) -> NDArray[np.int64]:
        """For each row or column of the crop the nearest whose centre lies in the photo; itself where none does."""
        here = np.arange(self.size)
        centres = start + (here + 0.5) * self.side / self.size
        inside = np.flatnonzero((centres >= 0) & (centres < most))
        return np.clip(here, inside[0], inside[-1]) if len(inside) else here

    def on_photo(
        self, picture: NDArray[np.uint8] | Mask | NDArray[np.float64], rows: slice, columns: slice
    ) -> NDArray[np.float64]:
        """What lies in the crop, seen at the photo's pixels of a window: float64 [h, w] or [h, w, 3]."""
        to_crop = Similarity(1.0, columns.start, rows.start).then(self.to_crop)
        return warp(picture, to_crop, rows.stop - rows.start, columns.stop - columns.start)


def square(box: NDArray[np.float64], gap: float, size: int) -> Crop:
    """Around a box [x0, y0, x1, y1], with `gap` of the crop's side between the box, made square, and each edge."""
    centre, longer = (box[:2] + box[2:]) / 2, max(float((box[2:] - box[:2]).max()), 1.0)
    side = longer / (1 - 2 * gap)
    x, y = (centre - side / 2).tolist()
    return Crop(x, y, side, size)


def paste(photo: Rgb, crop: Crop, picture: Rgb, dilated: Mask, fade: int) -> tuple[Rgb, Mask]:
    """A photo with a crop's picture in it, and where it may have changed.

    Args:
        photo: uint8 [H, W, 3], left as it is.
        crop: where the picture belongs.
        picture: uint8 [S, S, 3].
        dilated: bool [S, S], where it may change the photo.
        fade: the crop's pixels over which it fades in from the edge of `dilated` inwards.

    Returns:
        uint8 [H, W, 3] and bool [H, W]; where the latter is False both photos are the same.
    """
    rows, columns = crop.window(*photo.shape[:2])
    out, changed = photo.copy(), np.zeros(photo.shape[:2], np.bool_)
    if not photo[rows, columns].size or not dilated.any():
        return out, changed
    may = crop.on_photo(dilated, rows, columns) >= 0.5
    weight = crop.on_photo(fade_in(dilated, fade), rows, columns)[..., None]
    mixed = weight * crop.on_photo(picture, rows, columns) + (1 - weight) * photo[rows, columns]
    out[rows, columns] = np.where(
        may[..., None], np.rint(np.clip(mixed, 0, 255)).astype(np.uint8), photo[rows, columns]
    )
    changed[rows, columns] = may
    return out, changed


def fade_in(dilated: Mask, fade: int) -> NDArray[np.float64]:
    """0 outside, rising with the distance to the outside until it is 1 at `fade` pixels: float64 [S, S].

    What lies beyond the crop is outside.
    """
    reach = max(fade, 1)
    outside = np.pad(~dilated, 1, constant_values=True)
    distance = nearest(outside, reach)[0][1:-1, 1:-1]
    return np.asarray(np.minimum(distance, reach) / reach)


def _whole(start: float, side: float, most: int) -> slice:
    low = min(max(floor(start), 0), most)
    return slice(low, max(low, min(ceil(start + side), most)))
