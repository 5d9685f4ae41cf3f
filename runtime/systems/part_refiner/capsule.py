"""The pose picture without a mesh: a hand of capsules, or a face as a bulging oval, from key points. NumPy only.

Grey, and lighter the nearer: a hand's depth picture, as ControlNets of hands read it too. Every bone is a capsule whose
radius is a share of the hand's size, the palm is filled between them, and rims are darker, so that fingers that touch
can be told apart. Where no depth is given it is guessed from the bones: one that is shorter in the picture than it
should be leans to or away from the viewer, and fingers bend to the palm's side.

Knows nothing about pictures of people or models. Lengths of bones: mean values of the phalanges and metacarpals by
Buryanov and Kotiuk, 2010. Radii, shades and the guess of depth are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import HAND_EDGES, Side
from handfirst.runtime.pose.view import hand_view

Points = NDArray[np.float64]

LENGTHS = (
    *(30.0, 46.2, 31.6, 21.7),
    *(80.0, 39.8, 22.4, 15.8),
    *(78.0, 44.6, 26.3, 17.4),
    *(74.0, 41.4, 25.7, 17.3),
    *(72.0, 32.7, 18.1, 16.0),
)
"""Millimetres of every edge of HAND_EDGES: thumb to little finger, from the wrist on (with half a carpus there)."""
RADII = (22.0, 14.0, 12.0, 10.0, 9.0, *(12.0, 9.5, 8.5, 7.5), *(12.0, 9.5, 8.5, 7.5), *(12.0, 9.0, 8.0, 7.0),
         *(11.0, 8.0, 7.0, 6.0))  # fmt: skip
"""Millimetres of the flesh around each of the 21 points."""
PALM = ((0, 1, 5), (0, 5, 9), (0, 9, 13), (0, 13, 17))
DEPTH = 200.0
"""Millimetres from the darkest to the lightest shade."""
DARKEST, MIDDLE = 0.5, 0.75
"""Shades of the part; outside it is 0, and a threshold of a mask lies between."""
RIM = 0.3
"""How much darker a capsule is at its rim."""
FEATURES = (range(0, 5), range(5, 10), range(10, 14), range(14, 19), (*range(19, 25), 19), (*range(25, 31), 25),
            (*range(31, 43), 31))  # fmt: skip
"""Lines of a face, counted behind the 17 points of its jaw: brows, nose, nostrils, eyes, lips."""


def draw_hands(hands: Sequence[tuple[Points, Side]], size: int) -> NDArray[np.uint8]:
    """The pose picture of one or more hands, uint8 [size, size, 3], black outside.

    Args:
        hands: points [21, 2] or [21, 3] in pixels of the picture, x right, y down, z away from the viewer, and the
            hand's side. What touches a point that is NaN is not drawn.
    """
    nearest, shade = np.full((size, size), -np.inf), np.zeros((size, size))
    for points, side in hands:
        scale = hand_scale(points)
        solid = points if points.shape[1] == 3 else lifted(points, side, scale)
        heights = -(solid[:, 2] - np.nanmean(solid[:, 2])) if np.isfinite(solid[:, 2]).any() else solid[:, 2]
        flat, radii = solid[:, :2], np.array(RADII) * scale
        for corners in PALM:
            _triangle(nearest, shade, flat[list(corners)], heights[list(corners)], scale)
        for a, b in HAND_EDGES:
            _capsule(nearest, shade, flat[[a, b]], heights[[a, b]], radii[[a, b]], scale)
    return _grey(shade)


def draw_face(points: Points, size: int) -> NDArray[np.uint8]:
    """The pose picture of a face from 68 points [68, 2] in pixels: an oval with its features, uint8 [size, size, 3].

    Nothing is drawn where fewer than three points of the jaw are known.
    """
    shade = np.zeros((size, size))
    jaw = points[:17][np.isfinite(points[:17]).all(1)]
    if len(jaw) < 3:
        return _grey(shade)
    temples = (jaw[0] + jaw[-1]) / 2
    chin = jaw[np.argmax(np.linalg.norm(jaw - temples, axis=1))]
    across = max(float(np.linalg.norm(jaw[0] - jaw[-1])) / 2, 1e-6)
    centre, down = temples, (chin - temples) / max(float(np.linalg.norm(chin - temples)), 1e-6)
    radius = max(float(np.linalg.norm(chin - temples)), 1e-6)
    x, y = _pixels(size, size)
    along = (x - centre[0]) * down[0] + (y - centre[1]) * down[1]
    aside = (y - centre[1]) * down[0] - (x - centre[0]) * down[1]
    inside = (along / radius) ** 2 + (aside / across) ** 2
    oval = inside < 1
    shade[oval] = DARKEST + (1 - DARKEST) * np.sqrt(1 - inside[oval])
    thin = max(0.03 * across, 0.5)
    for line in FEATURES:
        ends = points[17:][list(line)]
        for a, b in pairwise(ends):
            if np.isfinite([a, b]).all():
                near = _apart(x, y, a, b)[0] < thin
                shade[near & oval] = DARKEST
    return _grey(shade)


def hand_scale(points: Points) -> float:
    """Pixels to a millimetre of a hand of usual size: what makes the longest of its bones as long as it should be.

    The palm's bones hardly lean, so they decide; fingers only where the palm is not known. 1 where nothing is.
    """
    shares = [
        float(np.linalg.norm(points[a, :2] - points[b, :2])) / length
        for (a, b), length in zip(HAND_EDGES, LENGTHS, strict=True)
    ]
    palm = [share for i, share in enumerate(shares) if i % 4 == 0 and i and np.isfinite(share)]
    known = palm or [share for share in shares if np.isfinite(share)]
    return max(max(known, default=1.0), 1e-3)


def lifted(points: Points, side: Side, scale: float) -> Points:
    """points [21, 2] -> [21, 3] in the same pixels: z grows away from the viewer, 0 at the wrist.

    A bone of length L that is l long in the picture spans sqrt(L^2 - l^2) in depth; fingers bend to the palm's side,
    so on a palm they come nearer, on a back they go away. Seen from the side nothing leans.
    """
    towards = {"palm": -1.0, "back": 1.0, "side": 0.0}[hand_view(points, side)]
    z = np.zeros(21)
    for (a, b), length in zip(HAND_EDGES, LENGTHS, strict=True):
        seen = float(np.linalg.norm(points[a] - points[b]))
        missing = (length * scale) ** 2 - seen**2
        leans = towards if a else 0.0  # the palm itself lies in the picture
        z[b] = z[a] + leans * np.sqrt(max(missing, 0.0)) if np.isfinite(missing) else z[a]
    return np.column_stack([points, z])


def _capsule(nearest: Points, shade: Points, ends: Points, heights: Points, radii: Points, scale: float) -> None:
    """A bone whose radius goes from one end's to the other's."""
    if not np.isfinite(ends).all():
        return
    rows, columns = _window(ends, float(radii.max()), nearest.shape[0])
    x, y = _pixels_of(rows, columns)
    distance, part = _apart(x, y, ends[0], ends[1])
    radius = radii[0] + part * (radii[1] - radii[0])
    bulge = np.sqrt(np.maximum(1 - (distance / radius) ** 2, 0))
    height = heights[0] + part * (heights[1] - heights[0])
    _keep(nearest, shade, rows, columns, distance < radius, height, height + bulge * radius, bulge, scale)


def _triangle(nearest: Points, shade: Points, corners: Points, heights: Points, scale: float) -> None:
    """A piece of the palm, as thick as its bones."""
    if not np.isfinite(corners).all():
        return
    a, b, c = corners
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    if abs(area) < 1e-9:
        return
    rows, columns = _window(corners, 0.0, nearest.shape[0])
    x, y = _pixels_of(rows, columns)
    v = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
    w = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
    inside = (v >= 0) & (w >= 0) & (v + w <= 1)
    height = heights[0] + v * (heights[1] - heights[0]) + w * (heights[2] - heights[0])
    thick = min(RADII[5], RADII[17]) * scale
    _keep(nearest, shade, rows, columns, inside, height, height + thick, np.ones_like(height), scale)


def _keep(
    nearest: Points, shade: Points, rows: slice, columns: slice, inside: NDArray[np.bool_], height: Points,
    front: Points, bulge: Points, scale: float,
) -> None:  # fmt: skip
    """The nearest surface wins: its shade tells its height in millimetres, and its rim."""
    seen = inside & (front > nearest[rows, columns])
    grey = (MIDDLE + 0.5 * height / (scale * DEPTH)) * (1 - RIM * (1 - bulge))
    nearest[rows, columns][seen] = front[seen]
    shade[rows, columns][seen] = np.clip(grey, DARKEST, 1)[seen]


def _apart(x: Points, y: Points, a: Points, b: Points) -> tuple[Points, Points]:
    """The distance of every pixel from the bone a b, and where on it the nearest point lies, 0 .. 1."""
    along = b - a
    part = np.clip(((x - a[0]) * along[0] + (y - a[1]) * along[1]) / max(float(along @ along), 1e-12), 0, 1)
    return np.hypot(x - a[0] - part * along[0], y - a[1] - part * along[1]), part


def _window(points: Points, margin: float, size: int) -> tuple[slice, slice]:
    """Rows and columns of the picture that hold the points with a margin."""
    low = np.clip(np.floor(points.min(0) - margin), 0, size).astype(int)
    high = np.clip(np.ceil(points.max(0) + margin), 0, size).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _pixels_of(rows: slice, columns: slice) -> tuple[Points, Points]:
    """x and y of the pixels' centres, [h, w] each."""
    y, x = np.mgrid[rows, columns].astype(np.float64) + 0.5
    return x, y


def _pixels(height: int, width: int) -> tuple[Points, Points]:
    return _pixels_of(slice(0, height), slice(0, width))


def _grey(shade: Points) -> NDArray[np.uint8]:
    return np.repeat(np.rint(shade * 255).astype(np.uint8)[..., None], 3, 2)
