"""Pictures as the bytes of a file, without loss; boxes and words on them, for eyes only.

Knows nothing about where they go.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.system import OwnFile

ImageFormat = Literal["png", "webp"]


def encode(image: NDArray[Any], kind: ImageFormat = "png", xmp: bytes | None = None) -> bytes:
    """uint8 RGB [H, W, 3] or bool [H, W] as the bytes of a file; equal arguments give equal bytes.

    Args:
        xmp: a packet that goes into the file beside the pixels (metadata.py); None: nothing does.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    file = BytesIO()
    pixels = image.astype(np.uint8) * 255 if image.dtype == np.bool_ else image
    more: dict[str, Any] = {}
    if kind == "webp":
        more = {"lossless": True, "xmp": xmp or b""}
    elif xmp is not None:
        more = {"pnginfo": PngInfo()}
        more["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())  # where XMP says that it is in a PNG
    Image.fromarray(pixels).save(file, kind, **more)
    return file.getvalue()


def encode_of(result: Any, image: NDArray[Any], kind: ImageFormat = "png", xmp: bytes | None = None) -> bytes:
    """One of a result's pictures as the bytes of a file; its own image as the result itself has it, where it has."""
    own = isinstance(result, OwnFile) and image is getattr(result, "image", None)
    return result.encoded(kind, xmp) if own else encode(image, kind, xmp)


Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]


def write(picture: Picture, words: str, x: int, y: int, size: float, colour: Colour) -> None:
    """Writes into the picture uint8 [H, W, 3]: (x, y) is the left end of the line that the letters stand on."""
    from PIL import Image, ImageDraw, ImageFont

    drawn = Image.fromarray(picture)
    ImageDraw.Draw(drawn).text((x, y), words, colour, ImageFont.load_default(size), "ls")
    picture[:] = np.asarray(drawn)


def frame(picture: Picture, corners: tuple[int, int, int, int], colour: Colour) -> None:
    """Draws x0, y0, x1, y1 into the picture uint8 [H, W, 3], one pixel wide; it may leave the picture."""
    from PIL import Image, ImageDraw

    drawn = Image.fromarray(picture)
    ImageDraw.Draw(drawn).rectangle(corners, outline=colour)
    picture[:] = np.asarray(drawn)
