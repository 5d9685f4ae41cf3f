"""What an annotation picture's values mean: three more channels that name the bone that a pixel shows.

Facts of the paper (Annotated Hands, arXiv 2401.15075, section 4.1) and of its published programs, which differ from its
words in one point: the second channel tells a bone's place between palm and tip, not its length. Drawing is training's
(OpenCV); the way back to points is recover.py. Knows nothing about models.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import SIDES, Side

Style = Literal["channels", "colours", "none"]
"""The paper's three grey channels; one skeleton in OpenPose's colours; or no annotation, the paper's baseline."""

FINGER = (50, 150, 250, 100, 200)
"""First channel: thumb, index, middle, ring, little finger."""
LEVEL = (150, 50, 200, 100)
"""Second channel, from the palm to the tip."""
SIDE: dict[Side, int] = {"left": 100, "right": 200}
"""Third channel."""
COLOURS = (
    "ff0a00", "fe4d00", "ff9900", "ffe502", "ccff02", "80ff00", "33ff00", "00ff19", "01ff66", "01ffb3",
    "01ffff", "00b2ff", "0866ff", "0f19ff", "3300ff", "8001ff", "cc01ff", "ff00e6", "ff0099", "ff054d",
)  # fmt: skip
"""Red, green, blue of the coloured skeleton's bones, in the order of HAND_EDGES; they do not tell left from right."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Palette:
    """Every value that an annotation may hold beside black: K of them.

    Attributes:
        values: uint8 [K, 3].
        bones: int64 [K], the place of each one's bone in HAND_EDGES.
        sides: whose bone it is; None where the style does not tell.
    """

    values: Picture
    bones: NDArray[np.int64]
    sides: tuple[Side | None, ...]

    def value(self, bone: int, side: Side) -> tuple[int, int, int]:
        """Of a bone of HAND_EDGES of the hand of that side."""
        row = next(k for k, b in enumerate(self.bones) if b == bone and self.sides[k] in (side, None))
        first, second, third = self.values[row].tolist()
        return first, second, third


@lru_cache
def palette(style: Style) -> Palette:
    """The values of a style; for "none" there are none."""
    if style == "channels":
        rows = [(FINGER[bone // 4], LEVEL[bone % 4], SIDE[side], bone, side) for side in SIDES for bone in range(20)]
        values = np.array([row[:3] for row in rows], np.uint8)
        return Palette(values, np.array([row[3] for row in rows]), tuple(row[4] for row in rows))
    colours = COLOURS if style == "colours" else ()
    values = np.array([tuple(bytes.fromhex(colour)) for colour in colours], np.uint8).reshape(-1, 3)
    return Palette(values, np.arange(len(values)), (None,) * len(values))
