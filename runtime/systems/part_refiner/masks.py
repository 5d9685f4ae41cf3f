"""Where the part is, where it is repainted and where it stays: from the pose picture to masks of a crop.

Source: RealisHuman (arXiv 2409.03644, section 3.3) and its released code. Knows nothing about latents or photos.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.diffusion.masks import dilate
from handfirst.runtime.geometry import connected, paste
from handfirst.runtime.systems.part_refiner.settings import KindSettings

Mask = NDArray[np.bool_]
GREY = 128
"""What lies in the ring: 0 of [-1, 1], as nearly as a byte says it."""


@dataclass(frozen=True, eq=False)
class PartMasks:
    """Masks of one crop, bool [S, S] each.

    Attributes:
        part: m, the part as its pose picture has it.
        dilated: m_d, all that may change; beyond it the photo stays.
        eroded: m_e, within the part: what the first stage painted stays.
    """

    part: Mask
    dilated: Mask
    eroded: Mask

    @property
    def whole(self) -> PartMasks:
        """With nothing that stays within the part: all of it is repainted."""
        return replace(self, eroded=np.zeros_like(self.eroded))

    @property
    def ring(self) -> Mask:
        """m_d - m_e, what the second stage repaints."""
        return np.asarray(self.dilated & ~self.eroded)


def part_mask(pose_picture: NDArray[np.uint8], threshold: float) -> Mask:
    """uint8 [S, S, 3] -> bool [S, S]: where any channel, as 0 .. 1, reaches the threshold."""
    return np.asarray((pose_picture.astype(np.float32) / np.float32(255) >= np.float32(threshold)).any(-1))


def part_masks(pose_picture: NDArray[np.uint8], settings: KindSettings) -> PartMasks:
    """All masks of a crop whose pose picture is uint8 [S, S, 3]; all False where it shows no part."""
    part = part_mask(pose_picture, settings.mask_threshold)
    reach = round(settings.dilation * len(part)) // 2
    return PartMasks(part, dilate(part, reach), erode(part, int(settings.erosion * longest_side(part)) // 2))


def erode(mask: Mask, radius: int) -> Mask:
    """`radius` erosions with a 3 x 3 square, bool [H, W]; what lies beyond the picture erodes nothing."""
    return np.asarray(~dilate(~mask, radius))


def longest_side(mask: Mask) -> int:
    """Of the box around the mask's largest connected part, in pixels; 0 where there is none."""
    labels, areas = connected(mask, 8)
    if len(areas) < 2:
        return 0
    rows, columns = np.nonzero(labels == 1 + np.argmax(areas[1:]))
    return int(max(np.ptp(rows), np.ptp(columns))) + 1


def foreground(crop: NDArray[np.uint8], part: Mask) -> NDArray[np.uint8]:
    """What the first stage is shown of a crop uint8 [S, S, 3]: the part on black."""
    return np.where(part[..., None], crop, np.uint8(0))


def with_refined(painted: NDArray[np.uint8], refined: NDArray[np.uint8], part: Mask, keep: float) -> NDArray[np.uint8]:
    """What the second stage painted, with the part's own pixels back in it; uint8 [S, S, 3].

    Args:
        keep: KindSettings.keep; the black around a refined part reaches a little into it.
    """
    rim = max(1, round(keep * len(part)))
    return paste(painted, refined, erode(part, rim), float(rim))


def masked(crop: NDArray[np.uint8], refined: NDArray[np.uint8], masks: PartMasks) -> NDArray[np.uint8]:
    """What the second stage is shown: the refined part inside, grey in the ring, the photo beyond; uint8 [S, S, 3]."""
    inside = np.where(masks.eroded[..., None], refined, np.uint8(GREY))
    return np.where(masks.dilated[..., None], inside, crop)
