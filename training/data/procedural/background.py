"""Backgrounds: plain mid-grey, plain, gradient, soft blobs, or the blurred boxes of a room."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.geometry import pick
from handfirst.training.data.procedural.palette import colour_name, random_colour

Floats = NDArray[np.float64]

KINDS = ("mid-grey", "plain", "gradient", "blobs", "room")
WEIGHTS = (0.10, 0.30, 0.22, 0.18, 0.20)
WORDS = {
    "mid-grey": "plain {} background",
    "plain": "plain {} background",
    "gradient": "{} gradient background",
    "blobs": "blurry {} background",
    "room": "{} room background",
}


@dataclass(frozen=True)
class Background:
    """An sRGB image [H,W,3] in 0..1, what kind it is, and the word for its colour."""

    image: Floats
    kind: str
    colour: str

    @property
    def phrase(self) -> str:
        """Caption words, e.g. "plain blue background"."""
        return WORDS[self.kind].format(self.colour)


def draw_background(rng: np.random.Generator, size: int) -> Background:
    """A random background of `size` pixels a side."""
    kind = pick(rng, KINDS, WEIGHTS)
    if kind == "mid-grey":
        return Background(np.full((size, size, 3), 0.5), kind, "grey")
    base = random_colour(rng)
    image = np.broadcast_to(base, (size, size, 3))
    if kind in ("gradient", "room"):
        image = _gradient(rng, base, size)
    elif kind == "blobs":
        coarse = rng.normal(size=(7, 7, 1)) * 0.10 + rng.normal(size=(7, 7, 3)) * 0.04
        image = base + cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    if kind == "room":
        image = _boxes(rng, image, size)
    image = np.clip(image, 0, 1)
    return Background(image, kind, colour_name(image.mean(axis=(0, 1))))


def _gradient(rng: np.random.Generator, base: Floats, size: int) -> Floats:
    """A linear ramp in a random direction from `base` to a lighter or darker relative."""
    other = np.clip(base * rng.uniform(0.6, 1.45) + rng.normal(0, 0.06, 3), 0.03, 0.95)
    angle = rng.uniform(0, 2 * np.pi)
    grid = (np.arange(size) + 0.5) / size - 0.5
    ramp = (np.cos(angle) * grid[None, :] + np.sin(angle) * grid[:, None] + 0.5)[..., None]
    return np.asarray(base * (1 - ramp) + other * ramp)


def _boxes(rng: np.random.Generator, image: Floats, size: int) -> Floats:
    """Furniture and pictures out of focus: blurred rectangles."""
    canvas = np.ascontiguousarray(np.clip(image, 0, 1) * 255).astype(np.uint8)
    for _ in range(int(rng.integers(3, 8))):
        x, y = (int(v) for v in rng.integers(-size // 4, size, 2))
        w, h = (int(v) for v in rng.integers(size // 10, int(size / 1.8), 2))
        colour = tuple(int(v) for v in random_colour(rng) * 255)
        cv2.rectangle(canvas, (x, y), (x + w, y + h), colour, -1)
    blurred = cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.012, 0.05) * size))
    return np.asarray(blurred, dtype=np.float64) / 255.0
