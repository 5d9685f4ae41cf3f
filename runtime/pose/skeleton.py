"""The skeleton picture that guides stage 2, drawn as OpenPose draws it, hands and face included (decision A6.13).

Knows nothing about where the points come from. Drawn large and reduced by area, so that lines keep their relative
width on small canvases and the result has no steps.
"""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.drawing import disc, ellipse, stroke
from handfirst.runtime.pose.person import Person, Points, Pose
from handfirst.runtime.pose.topology import (
    HAND_EDGES,
    LEFT_SHOULDER,
    OPENPOSE_18,
    OPENPOSE_LIMBS,
    RIGHT_SHOULDER,
    SIDES,
)

REFERENCE = 512
"""The canvas on which a limb is 4 pixels wide to either side, a hand's bone 2 pixels thick and a face dot 3."""
BODY_COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170), (255, 0, 85),
)  # fmt: skip

DIMMED = (np.arange(256) * 0.6).astype(np.uint8)
"""What becomes of a limb's values."""

Image = NDArray[np.uint8]


def draw_skeleton(pose: Pose, width: int, height: int) -> Image:
    """uint8 RGB [height, width, 3] on black; the pose is fitted to the canvas first."""
    enlarge = -(-REFERENCE // min(width, height)) if min(width, height) < REFERENCE else 1
    fitted = pose.fit(width, height)
    image = np.zeros((height * enlarge, width * enlarge, 3), np.uint8)
    unit = min(image.shape[:2]) / REFERENCE
    for person in fitted.people:
        _draw_person(image, person.moved(enlarge, 0, 0), unit)
    sums = _summed(_summed(image, 0, enlarge), 1, enlarge)
    return np.asarray(np.rint(sums / enlarge**2), np.uint8)


def _summed(image: NDArray[Any], axis: int, count: int) -> NDArray[np.uint32]:
    """Every `count` rows (axis 0) or columns (axis 1) in one: adding slices takes a third of what a reduction does."""
    cuts = [image[i::count] if axis == 0 else image[:, i::count] for i in range(count)]
    sums = cuts[0].astype(np.uint32)
    for cut in cuts[1:]:
        sums += cut
    return sums


def hint(pose: Pose, kept: NDArray[np.bool_], width: int, height: int) -> NDArray[np.float32]:
    """Stage 2's hint: skeleton RGB in [0, 1], then the area to paint (1 outside the hands): float32 [4, H, W]."""
    skeleton = draw_skeleton(pose, width, height).astype(np.float32).transpose(2, 0, 1) / 255
    return np.concatenate([skeleton, (~kept)[None].astype(np.float32)])


def _draw_person(image: Image, person: Person, unit: float) -> None:
    body = openpose_body(person.body)
    limbs = image.copy()
    for colour, (a, b) in zip(BODY_COLOURS, OPENPOSE_LIMBS, strict=False):
        _limb(limbs, body[a], body[b], 4 * unit, colour)
    np.copyto(image, DIMMED[limbs])
    for colour, point in zip(BODY_COLOURS, body, strict=True):
        _dot(image, point, 4 * unit, colour)
    for side in SIDES:
        _draw_hand(image, person.hand(side), unit)
    for point in person.face:
        _dot(image, point, 3 * unit, (255, 255, 255))


def openpose_body(body: Points) -> Points:
    """COCO's 17 points -> OpenPose's 18, the neck in the middle of the shoulders; NaN where unknown."""
    neck = (body[LEFT_SHOULDER] + body[RIGHT_SHOULDER]) / 2
    return np.stack([neck if i is None else body[i] for i in OPENPOSE_18])


def _draw_hand(image: Image, points: Points, unit: float) -> None:
    for i, (a, b) in enumerate(HAND_EDGES):
        red, green, blue = (round(255 * v) for v in colorsys.hsv_to_rgb(i / len(HAND_EDGES), 1, 1))
        if np.isfinite(points[[a, b]]).all():
            stroke(image, points[a], points[b], max(1, round(2 * unit)), (red, green, blue))
    for point in points:
        _dot(image, point, 4 * unit, (0, 0, 255))


def _limb(image: Image, a: Points, b: Points, half_width: float, colour: tuple[int, int, int]) -> None:
    """A filled ellipse from joint to joint."""
    if np.isfinite(np.stack([a, b])).all():
        ellipse(image, a, b, half_width, colour)


def _dot(image: Image, point: Points, radius: float, colour: tuple[int, int, int]) -> None:
    if np.isfinite(point).all():
        disc(image, point, radius, colour)
