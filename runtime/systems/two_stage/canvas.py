"""The canvas I_c: generated hands put where they belong on a uniform background (paper, section III-C).

One similarity map per crop serves both directions: `place` puts a crop's picture into the canvas, `cut` takes it out.
Knows nothing about people, key points or models: pictures, masks and maps only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.geometry import Similarity, connected, nearest, warp
from handfirst.runtime.systems.two_stage.overlap import share_out
from handfirst.runtime.systems.two_stage.settings import BodySettings

SPECK = 0.02
"""Parts of a predicted mask smaller than this fraction of its crop are no hand."""
PINHOLE = 0.002
"""Holes smaller than this fraction are no gap between fingers; the ring of an OK sign is larger."""

HERE = Similarity(1.0, 0.0, 0.0)
_Array = NDArray[np.float64]


class _Crop(Protocol):
    @property
    def similarity(self) -> Similarity: ...


class PlacedHand(Protocol):
    """What `Canvas.build` reads of a generated hand: `crop.similarity` maps canvas pixels to the picture's."""

    @property
    def crop(self) -> _Crop: ...
    @property
    def image(self) -> NDArray[np.uint8]: ...
    @property
    def mask(self) -> NDArray[np.bool_]: ...
    @property
    def bones(self) -> NDArray[np.float64] | None:
        """Ends of its bones, [N, 2, 2] in canvas pixels, where they are known (overlap.py)."""
        ...


@dataclass(frozen=True, eq=False)
class Canvas:
    """A picture of which some regions are known. Never changed in place.

    Attributes:
        image: uint8 [H, W, 3].
        parts: bool [H, W] each, one for every picture that was placed, True where it is known; in that order.
        around: bool [H, W], what else is known, and kept as it is in every step; None: nothing.
    """

    image: NDArray[np.uint8]
    parts: tuple[NDArray[np.bool_], ...] = ()
    around: NDArray[np.bool_] | None = None

    @classmethod
    def empty(cls, settings: BodySettings) -> Canvas:
        """Uniform grey without hands, of the model's size."""
        return cls(np.full((settings.height, settings.width, 3), round(settings.background * 255), np.uint8))

    @classmethod
    def build(cls, hands: Iterable[PlacedHand], settings: BodySettings) -> Canvas:
        """All hands of an image, each where its own mask is; what two masks claim is shared out (overlap.py)."""
        return cls.empty(settings).with_hands(hands, settings.rim)

    def with_hands(self, hands: Iterable[PlacedHand], rim: float, to_crops: Similarity = HERE) -> Canvas:
        """A new canvas with these hands as well, in the same manner.

        Args:
            rim: BodySettings.rim.
            to_crops: this canvas's pixels -> those of the canvas that the hands' crops are of.
        """
        placed = [(hand, to_crops.then(hand.crop.similarity)) for hand in hands]
        bones = [None if hand.bones is None else to_crops.inverse().apply(hand.bones) for hand, _ in placed]
        canvas = self
        shares = share_out([self._seen(hand.mask, to_crop) for hand, to_crop in placed], bones)
        for (hand, to_crop), share in zip(placed, shares, strict=True):
            clean = without_rim(hand.image, hand.mask, rim * len(hand.mask), 2 * to_crop.scale)
            canvas = canvas._put(clean, share, to_crop)
        return canvas

    @property
    def mask(self) -> NDArray[np.bool_]:
        """m_c, bool [H, W]: the union of the parts."""
        nothing = np.zeros(self.image.shape[:2], np.bool_)
        return np.asarray(np.logical_or.reduce([nothing, *self.parts]))

    def place(self, picture: NDArray[np.uint8], mask: NDArray[np.bool_], similarity: Similarity) -> Canvas:
        """A new canvas with the crop's picture pasted where at least half of the pixel is inside its mask.

        Args:
            picture: uint8 [S, S, 3] of the crop.
            mask: bool [S, S], True on the hand.
            similarity: canvas pixels -> crop pixels. The crop may leave the canvas.
        """
        return self._put(picture, self._seen(mask, similarity), similarity)

    def _seen(self, mask: NDArray[np.bool_], similarity: Similarity) -> NDArray[np.bool_]:
        """Where at least half of the canvas's pixel is inside a crop's mask, bool [H, W]."""
        return np.asarray(warp(mask, similarity, *self.image.shape[:2]) >= 0.5)

    def _put(self, picture: NDArray[np.uint8], here: NDArray[np.bool_], similarity: Similarity) -> Canvas:
        height, width = self.image.shape[:2]
        image = np.where(here[..., None], to_uint8(warp(picture, similarity, height, width)), self.image)
        return replace(self, image=image, parts=(*self.parts, here))


def to_uint8(image: _Array) -> NDArray[np.uint8]:
    """Rounded; float64 in [0, 255]."""
    return np.rint(image).astype(np.uint8)


def without_rim(picture: NDArray[np.uint8], mask: NDArray[np.bool_], rim: float, beyond: float) -> NDArray[np.uint8]:
    """A hand's picture whose outermost pixels have the colours of the nearest ones further in.

    What lies behind a hand in its crop shines through at its edge, and would be a ring around it elsewhere.

    Args:
        picture: uint8 [S, S, 3].
        mask: bool [S, S], True on the hand.
        rim: pixels from the mask's edge inwards that are not to be trusted; 0: the picture as it is. Where a hand is
            no thicker than that, it stays as it is.
        beyond: pixels outwards that get these colours, too, for those who average over several.
    """
    if rim <= 0:
        return picture
    inside = mask & (nearest(~mask, rim + 1)[0] > rim)
    distance, index = nearest(inside, rim + beyond + 1)
    return np.where(np.isfinite(distance)[..., None], picture.reshape(-1, 3)[index], picture)


def clean_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A predicted hand mask bool [S, S] without its specks and pinholes.

    Connected parts (8 neighbours) smaller than SPECK of the crop go, but the largest part always stays; enclosed holes
    (4 neighbours) smaller than PINHOLE of the crop are filled. Our decision: the paper cleans its training masks only.
    """
    parts, areas = connected(mask, 8)
    keep = areas >= SPECK * mask.size
    keep[1 + np.argmax(areas[1:]) if len(areas) > 1 else 0] = True
    keep[0] = False
    hand = keep[parts]
    holes, areas = connected(~hand, 4)
    fill = areas < PINHOLE * mask.size
    fill[0] = False
    border = np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]])
    fill[border] = False
    return hand | fill[holes]
