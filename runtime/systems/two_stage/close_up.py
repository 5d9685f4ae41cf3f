"""The close-up: what lies around a small hand is painted once more, larger, and put back.

Small hands are a limit of the paper's (section V). Stage 1 draws every hand at its full size, however small it is in
the picture; what is coarse is what stage 2 paints around it, as a finger is narrower than a latent cell there. So it
paints a second time, in a window around the hand: the finished picture enlarged, the hand placed at that size, all of
it known but a ring around the hand. Reduced again, the ring fades into the picture. Hands, and pixels beyond the ring,
stay what they were to the last bit. (Crop, enlarge, repaint, paste back: RealisHuman, arXiv 2409.03644; which window,
which ring and when are OURS.)

Knows nothing about networks: which windows, what is known in them, and how they come back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.diffusion.noise import part_seed
from handfirst.runtime.geometry import Similarity, nearest, warp
from handfirst.runtime.loaded import given
from handfirst.runtime.pose.crop import HandCrop
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.systems.two_stage.canvas import Canvas, to_uint8
from handfirst.runtime.systems.two_stage.request import CloseUp, CloseUpResult, HandResult, Request
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings

CLOSE_UPS = "close_ups"
"""What progress and clock call the second pass."""
SMALL_CELLS = 8.0
"""Latent cells along the box of a small hand, at most. So many hold a mask with an IoU of .78 to its pixels, 4 with .66
and 2 with .45 (medians of 16 rendered hands); 16 with .88."""
SHARE = 0.25
"""Of the window's shorter side that the hand's box takes: as in busts, the closest framing that bodies learn."""
LEAST_SCALE = 1.5
"""Below this "auto" leaves a hand alone: too little is won for a second pass."""
REACH = 0.5
"""How far the ring reaches, in the longer side of the hand's box; it fades over the outer half of that."""


@dataclass(frozen=True, eq=False)
class Window:
    """One close-up to paint: a picture of the canvas's size in which nearly everything is known.

    Attributes:
        picture: index of the picture that it is a part of.
        name: its own.
        to_window: canvas pixels -> window pixels.
        weight: float64 [H, W] on the canvas; see CloseUpResult.
        canvas: the enlarged picture, all of it known but the ring.
        request: the picture's, with the pose as it lies in the window and a seed of its own.
    """

    picture: int
    name: str
    to_window: Similarity
    weight: NDArray[np.float64]
    canvas: Canvas
    request: Request


def window_of(crop: HandCrop, how: CloseUp, settings: TwoStageSettings) -> Similarity | None:
    """Canvas pixels -> pixels of the window around a hand, or None where nothing is to be painted again.

    The window has the canvas's shape and lies inside it, with the hand as near to its middle as that allows.
    """
    body = settings.body
    size, extent = np.array([body.width, body.height]), crop.side_px / settings.hand.margin
    scale = SHARE * float(size.min()) / extent
    small = extent < SMALL_CELLS * settings.latent.factor and scale >= LEAST_SCALE
    if how == "off" or scale <= 1 or (how == "auto" and not small):
        return None
    centre = crop.similarity.inverse().apply(np.full(2, crop.size / 2))
    dx, dy = np.clip(size / 2 - scale * centre, size - scale * size, 0).tolist()
    return Similarity(scale, dx, dy)


def windows(
    requests: Sequence[Request],
    hands: Sequence[Sequence[HandResult]],
    images: Sequence[NDArray[np.uint8]],
    settings: TwoStageSettings,
) -> list[Window]:
    """The close-ups of some finished pictures, picture by picture, hand by hand; none of hands that were not found.

    Args:
        requests: resolved.
        hands: of every picture, as they were placed.
        images: uint8 [H, W, 3] each.
    """
    return [
        _window(i, request, hand, share, image, to_window, settings)
        for i, (request, share, image) in enumerate(zip(requests, hands, images, strict=True))
        for hand in share
        if hand.mask.any() and (to_window := window_of(hand.crop, request.close_up, settings)) is not None
    ]


def _window(
    picture: int, request: Request, hand: HandResult, hands: Sequence[HandResult], image: NDArray[np.uint8],
    to_window: Similarity, settings: TwoStageSettings,
) -> Window:  # fmt: skip
    height, width = image.shape[:2]
    back, name = to_window.inverse(), f"{hand.name}-close-up"
    placed = Canvas.build(hands, settings.body)
    reach = REACH * hand.crop.side_px / settings.hand.margin
    weight = ring(placed.parts[list(hands).index(hand)], placed.mask, reach)
    painted = warp(weight > 0, back, height, width) > 0
    enlarged = Canvas(to_uint8(warp(image, back, height, width)), (), ~painted)
    enlarged = enlarged.with_hands(hands, settings.body.rim, back)
    people = tuple(person.moved(to_window.scale, to_window.dx, to_window.dy) for person in request.pose.people)
    asked = replace(
        request,
        pose=Pose(people, width, height),
        hand_mask=None,
        seed=part_seed(request.seed, name),
        feather=min(64.0, given(request.feather) * to_window.scale),
    )
    return Window(picture, name, to_window, weight, enlarged, asked)


def ring(hand: NDArray[np.bool_], hands: NDArray[np.bool_], reach: float) -> NDArray[np.float64]:
    """How much is painted anew around a hand: 1 up to half of `reach` pixels from it, 0 from `reach` on and on hands.

    Args:
        hand: bool [H, W], the hand that it is around.
        hands: bool [H, W], all of them.
        reach: pixels.
    """
    distance, _ = nearest(hand, reach)
    return np.where(hands, 0.0, np.clip(2 - 2 * distance / reach, 0, 1))


def put_back(image: NDArray[np.uint8], close_ups: Sequence[CloseUpResult]) -> NDArray[np.uint8]:
    """The picture with its close-ups, each reduced by area; where rings meet, their mean by weight.

    Args:
        image: uint8 [H, W, 3]; returned as it is, to the last bit, wherever no close-up has a weight.
    """
    if not close_ups:
        return image
    height, width = image.shape[:2]
    total = np.sum([each.weight for each in close_ups], 0)[..., None]
    anew = np.sum([each.weight[..., None] * warp(each.image, each.window, height, width) for each in close_ups], 0)
    mixed = (np.maximum(1 - total, 0) * image + anew) / np.maximum(total, 1)
    return np.where(total > 0, to_uint8(mixed), image)


def by_picture(
    asked: Sequence[Window], painted: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], pictures: int
) -> list[tuple[CloseUpResult, ...]]:
    """What was painted in the windows, uint8 [H, W, 3] each, as every picture's close-ups."""
    found: list[list[CloseUpResult]] = [[] for _ in range(pictures)]
    for each, image in zip(asked, painted, strict=True):
        found[each.picture].append(CloseUpResult(each.name, each.to_window, image, each.weight))
    return [tuple(made) for made in found]


def preview(
    asked: Sequence[Window], sketches: Callable[[], NDArray[np.uint8]], first: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The first picture with its close-ups as they stand, uint8 [H, W, 3]."""
    return put_back(first, by_picture(asked, sketches(), 1 + max(each.picture for each in asked))[0])
