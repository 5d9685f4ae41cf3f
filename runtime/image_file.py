"""Pictures as the bytes of a file, without loss. Knows nothing about where they go."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

ImageFormat = Literal["png", "webp"]

_LOSSLESS = {"png": [], "webp": [cv2.IMWRITE_WEBP_QUALITY, 101]}  # above 100 OpenCV's WebP loses nothing


def encode(image: NDArray[Any], kind: ImageFormat = "png") -> bytes:
    """uint8 RGB [H, W, 3] or bool [H, W] as the bytes of a file; equal pictures give equal bytes."""
    pixels = image.astype(np.uint8) * 255 if image.dtype == np.bool_ else image[..., ::-1]
    done, data = cv2.imencode(f".{kind}", np.ascontiguousarray(pixels), _LOSSLESS[kind])
    if not done:
        raise ValueError(f"a picture of {image.shape} {image.dtype} cannot be a {kind.upper()}")
    return bytes(data.tobytes())
