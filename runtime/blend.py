"""Known inside, generated outside: in latents while painting, in pixels at the end (paper, eq. 11)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.regions import nearest


def blend_latents(x_t: NDArray[np.float32], known: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """m known + (1 - m) x_t, exactly: x_t and known [B, C, h, w], kept bool [B or 1, h, w]."""
    return np.where(kept[:, None], known, x_t)


def paste(
    image: NDArray[np.uint8], canvas: NDArray[np.uint8], kept: NDArray[np.bool_], feather: float = 0.0
) -> NDArray[np.uint8]:
    """The canvas inside the mask to the last bit, the image outside.

    Args:
        image, canvas: uint8 [H, W, 3].
        kept: bool [H, W], True on the hand.
        feather: pixels over which the canvas fades out beyond the mask's edge; kept pixels never change.
    """
    out = np.where(kept[..., None], canvas, image)
    if feather <= 0 or not kept.any():
        return out
    distance, index = nearest(kept, feather + 1)
    near = canvas.reshape(-1, 3)[index]  # the canvas' own background must not bleed into the fade
    weight = np.clip(1 - distance / (feather + 1), 0, 1)[..., None]
    faded = np.rint(weight * near + (1 - weight) * image).astype(np.uint8)
    return np.where(kept[..., None], canvas, faded)
