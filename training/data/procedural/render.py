"""From a scene to pictures: one ray a pixel, and more where the picture changes."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.camera import Camera
from handfirst.training.data.procedural.hand import WRIST_CREASE
from handfirst.training.data.procedural.lighting import Lighting
from handfirst.training.data.procedural.paint import Paint
from handfirst.training.data.procedural.palette import to_linear, to_srgb
from handfirst.training.data.procedural.scene import Part
from handfirst.training.data.procedural.surface import PackedScene, Surface, trace

Floats = NDArray[np.float64]

CONTRAST = 0.05  # sRGB step between neighbours that earns a pixel its extra rays


@dataclass(frozen=True)
class Quality:
    """Sizes for the tracer (cm): occlusion and shadow detail, culling distance; and rays a pixel side on edges."""

    detail: float
    cull: float
    supersample: int


@dataclass(frozen=True)
class Picture:
    """A rendered square picture: rgb [S,S,3], person mask, hand mask (0, 1 left, 2 right), depth (cm), part (or -1)."""

    rgb: NDArray[np.uint8]
    person: NDArray[np.bool_]
    hands: NDArray[np.uint8]
    depth: NDArray[np.float32]
    part: NDArray[np.int8]

    def shows(self, part: Part, share: float = 0.004) -> bool:
        """Whether `part` covers at least this share of the picture."""
        return bool((self.part == int(part)).mean() >= share)


def render(
    packed: PackedScene,
    camera: Camera,
    lighting: Lighting,
    painter: Callable[[Surface, Paint], None],
    backdrop: Floats,
    quality: Quality,
    grain: Floats,
) -> Picture:
    """Render over `backdrop` (sRGB [S,S,3] in 0..1); `grain` [S,S,3] is sensor noise in units of 1/255."""
    size = len(backdrop)

    def sample(pixels: Floats) -> tuple[Surface, Floats]:
        surface = trace(packed, camera, pixels, lighting.direction, quality.detail, quality.cull)
        paint = Paint.blank(surface)
        painter(surface, paint)
        return surface, lighting.shade(surface, paint)

    ys, xs = np.divmod(np.arange(size * size), size)
    surface, colour = sample(np.stack([xs + 0.5, ys + 0.5], axis=1))
    behind = to_linear(backdrop).reshape(-1, 3)
    image = behind.copy()
    image[surface.ray] = colour
    person = np.zeros(size * size, dtype=bool)
    person[surface.ray] = True
    hands = np.zeros(size * size, dtype=np.uint8)
    hands[surface.ray] = _hand_labels(surface)
    depth = np.zeros(size * size, dtype=np.float32)
    depth[surface.ray] = surface.depth
    part = np.full(size * size, -1, dtype=np.int8)
    part[surface.ray] = surface.part
    if quality.supersample > 1:
        fine = np.nonzero(_needs_more(to_srgb(image).reshape(size, size, 3), person.reshape(size, size)))[0]
        image[fine] = _refine(sample, fine, size, behind, quality.supersample)
    rgb = to_srgb(image).reshape(size, size, 3) * 255 + grain
    return Picture(
        rgb=np.clip(rgb, 0, 255).astype(np.uint8),
        person=person.reshape(size, size),
        hands=hands.reshape(size, size),
        depth=depth.reshape(size, size),
        part=part.reshape(size, size),
    )


def _needs_more(image: Floats, person: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Flat mask of pixels on an outline of the person or on a contrast inside it."""
    kernel = np.ones((3, 3), np.uint8)
    mask = person.astype(np.uint8)
    grown = cv2.dilate(mask, kernel) > 0
    outline = grown & (cv2.erode(mask, kernel) == 0)
    grey = image.mean(axis=2).astype(np.float32)
    contrast = cv2.dilate(grey, kernel) - cv2.erode(grey, kernel) > CONTRAST
    return np.asarray(outline | (contrast & grown)).ravel()


def _refine(
    sample: Callable[[Floats], tuple[Surface, Floats]], pixels: NDArray[np.int64], size: int, behind: Floats, n: int
) -> Floats:
    """Mean colour [P,3] of n x n rays in each of `pixels` [P] (flat indices)."""
    steps = (np.arange(n) + 0.5) / n
    offsets = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    corners = np.stack([pixels % size, pixels // size], axis=1).astype(np.float64)
    surface, colour = sample((corners[:, None] + offsets).reshape(-1, 2))
    samples = np.repeat(behind[pixels], n * n, axis=0)
    samples[surface.ray] = colour
    return np.asarray(samples.reshape(len(pixels), n * n, 3).mean(axis=1))


def _hand_labels(surface: Surface) -> NDArray[np.uint8]:
    """Owner of each sample, with what lies below the wrist crease and sleeves given back to the body."""
    owner = surface.packed.owner[surface.primitive].astype(np.uint8)
    owner[surface.is_part(Part.SLEEVE)] = 0
    frame = surface.packed.frame[surface.primitive]
    for index in np.unique(frame[owner > 0]):
        mine = np.nonzero((frame == index) & (owner > 0))[0]
        y = surface.packed.scene.frames[index].local(surface.local[mine])[:, 1]
        owner[mine[y < WRIST_CREASE]] = 0
    return owner
