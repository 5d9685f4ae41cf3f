"""Pixels to files and back, the way all data sets here do it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# 4:4:4: fingers are thin, their colour must not be shared with the background.
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def encode_jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """uint8 RGB [H, W, 3]."""
    return _encode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), _JPEG)


def encode_png(image: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """uint8 or uint16 [H, W], or uint8 RGB [H, W, 3]."""
    stored: NDArray[Any] = image[..., ::-1] if image.ndim == 3 else image
    return _encode(".png", np.ascontiguousarray(stored), [])


def decode_image(data: bytes, colour: bool = True) -> NDArray[np.uint8]:
    """RGB [H, W, 3] with `colour`; otherwise as it was stored, of its own depth.

    Raises:
        ValueError: the bytes are not a picture.
    """
    flags = cv2.IMREAD_COLOR if colour else cv2.IMREAD_UNCHANGED
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if image is None:
        raise ValueError("a damaged image")
    return np.ascontiguousarray(image[..., ::-1]) if colour else np.asarray(image)


def _encode(extension: str, image: NDArray[Any], options: list[int]) -> bytes:
    done, data = cv2.imencode(extension, image, options)
    if not done:
        raise RuntimeError(f"cannot encode {extension}")
    return bytes(data.tobytes())
