"""Pictures as the bytes of a file, without loss. Knows nothing about where they go."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

ImageFormat = Literal["png", "webp"]


def encode(image: NDArray[Any], kind: ImageFormat = "png") -> bytes:
    """uint8 RGB [H, W, 3] or bool [H, W] as the bytes of a file; equal pictures give equal bytes."""
    from PIL import Image

    file = BytesIO()
    pixels = image.astype(np.uint8) * 255 if image.dtype == np.bool_ else image
    Image.fromarray(pixels).save(file, kind, lossless=True)
    return file.getvalue()
