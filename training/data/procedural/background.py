"""Backgrounds: plain, plain mid-grey, a gradient of one colour, or the blurred boxes of a room."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.geometry import pick
from handfirst.training.data.procedural.palette import clearly, colour_name, other_names, random_colour

Floats = NDArray[np.float64]

KINDS = ("plain", "gradient", "mid-grey", "room")
WEIGHTS = (0.52, 0.36, 0.05, 0.07)
WORDS = {
    "plain": "plain {} background",
    "gradient": "{} gradient background",
    "mid-grey": "plain {} background",
    "room": "blurred {} room background",
}


@dataclass(frozen=True)
class Background:
    """An sRGB image [H,W,3] in 0..1, what kind it is, and the word for the colour that covers most of it."""

    image: Floats
    kind: str
    colour: str

    @property
    def phrase(self) -> str:
        """Caption words, e.g. "plain blue background"."""
        return WORDS[self.kind].format(self.colour)


def draw_background(rng: np.random.Generator, size: int, avoid: str | None = None) -> Background:
    """A random background of `size` pixels a side; two times in three not of the colour `avoid`."""
    kind = pick(rng, KINDS, WEIGHTS)
    keep = rng.uniform() < 1 / 3
    base = random_colour(rng, None if avoid is None or keep else other_names(avoid))
    if kind == "mid-grey":
        return Background(np.full((size, size, 3), 0.5), kind, "grey")
    image = np.broadcast_to(base, (size, size, 3))
    if kind in ("gradient", "room"):
        image = _gradient(rng, base, size)
    if kind == "room":
        image = _boxes(rng, image, size)
    image = np.clip(image, 0, 1)
    return Background(image, kind, main_colour(image))


def main_colour(image: Floats) -> str:
    """The colour word of the most pixels of an sRGB image [H,W,3]."""
    step = max(1, len(image) // 12)
    words = [colour_name(pixel) for pixel in image[step // 2 :: step, step // 2 :: step].reshape(-1, 3)]
    return max(sorted(set(words)), key=words.count)


def _gradient(rng: np.random.Generator, base: Floats, size: int) -> Floats:
    """A linear ramp in a random direction from `base` to a lighter or darker relative of the same word."""
    other = _relative(rng, base)
    angle = rng.uniform(0, 2 * np.pi)
    grid = (np.arange(size) + 0.5) / size - 0.5
    ramp = np.clip(np.cos(angle) * grid[None, :] + np.sin(angle) * grid[:, None] + 0.5, 0, 1)[..., None]
    return np.asarray(base * (1 - ramp) + other * ramp)


def _relative(rng: np.random.Generator, base: Floats) -> Floats:
    """A lighter or darker colour with the word of `base`: as far off as that goes."""
    word = colour_name(base)
    factor = float(rng.uniform(0.6, 0.85) if rng.uniform() < 0.5 else rng.uniform(1.15, 1.45))
    for _ in range(6):
        other = np.clip(base * factor, 0.03, 0.97)
        if colour_name(other) == word and clearly(other, 3.0):
            return np.asarray(other)
        factor = 1 + 0.7 * (factor - 1)
    return base


def _boxes(rng: np.random.Generator, image: Floats, size: int) -> Floats:
    """Furniture and pictures out of focus: blurred rectangles that leave most of the wall."""
    canvas = np.ascontiguousarray(np.clip(image, 0, 1) * 255).astype(np.uint8)
    for _ in range(int(rng.integers(2, 6))):
        x, y = (int(v) for v in rng.integers(-size // 4, size, 2))
        w, h = (int(v) for v in rng.integers(size // 10, size // 3, 2))
        colour = tuple(int(v) for v in random_colour(rng) * 255)
        cv2.rectangle(canvas, (x, y), (x + w, y + h), colour, -1)
    blurred = cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.012, 0.05) * size))
    return np.asarray(blurred, dtype=np.float64) / 255.0
