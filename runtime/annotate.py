"""Boxes and words on a picture, for eyes only. Pillow's own font, so that nothing of the system is needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]


def write(picture: Picture, words: str, x: int, y: int, size: float, colour: Colour) -> None:
    """Writes into the picture uint8 [H, W, 3]: (x, y) is the left end of the line that the letters stand on."""
    drawn = Image.fromarray(picture)
    ImageDraw.Draw(drawn).text((x, y), words, colour, ImageFont.load_default(size), "ls")
    picture[:] = np.asarray(drawn)


def frame(picture: Picture, corners: tuple[int, int, int, int], colour: Colour) -> None:
    """Draws x0, y0, x1, y1 into the picture uint8 [H, W, 3], one pixel wide; it may leave the picture."""
    drawn = Image.fromarray(picture)
    ImageDraw.Draw(drawn).rectangle(corners, outline=colour)
    picture[:] = np.asarray(drawn)
