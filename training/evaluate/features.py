"""Pictures of any size to one array of features (`metrics` extra). Knows nothing about distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.training.evaluate.cases import Case
from handfirst.training.evaluate.inception import FEATURES, InceptionFront
from handfirst.training.evaluate.pictures import read_picture

BACKGROUND = 128
"""What a masked background becomes: the grey that the network sees as 0."""
Advance = Callable[[int, int], None]


def features(network: InceptionFront, cases: Sequence[Case], foreground: bool, advance: Advance) -> NDArray[np.float64]:
    """[N, 192], a row per case.

    Args:
        foreground: whether all but the foreground is painted over; every case then needs a mask.
        advance: told how many of how many are done.

    Raises:
        UserError: a picture or mask cannot be read, or their sizes differ.
    """
    out = np.zeros((len(cases), FEATURES))
    with torch.inference_mode():
        for i, case in enumerate(cases):
            image = read_picture(case.picture, case.key)
            image = without_background(image, case) if foreground else image
            out[i] = network(torch.from_numpy(image).permute(2, 0, 1)[None])[0].numpy()
            advance(i + 1, len(cases))
    return out


def without_background(image: NDArray[np.uint8], case: Case) -> NDArray[np.uint8]:
    """image uint8 [H, W, 3] with BACKGROUND wherever the case's mask is 0."""
    if case.mask is None:
        raise UserError(f"picture '{case.key}' has no foreground mask; give all of them or none")
    mask = read_picture(case.mask, f"{case.key} (mask)")
    shown = mask if mask.ndim == 2 else mask[..., :3].max(-1)
    if shown.shape != image.shape[:2]:
        raise UserError(
            f"picture '{case.key}' is {image.shape[1::-1]} pixels, its mask {shown.shape[::-1]}; make them equal"
        )
    return np.asarray(cv2.copyTo(image, (shown > 0).astype(np.uint8), np.full_like(image, BACKGROUND)), np.uint8)
