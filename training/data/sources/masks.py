"""Grey values of a stored mask -> which hand. Knows nothing about files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.record import UnreadableError


def sides_of(grey: NDArray[np.uint8], left: int, right: int, only: int) -> NDArray[np.uint8]:
    """Which hand each pixel is on.

    Args:
        grey: uint8 [H, W].
        left, right: the values that mean the left and the right hand.
        only: 1 or 2 where the picture has only the left or only the right hand, else 0.

    Returns:
        uint8 [H, W]: 0 nothing, 1 the left hand, 2 the right hand. With `only`, a mask without both values holds that
        hand in every pixel that is not 0.

    Raises:
        UnreadableError: without `only`, a value that means neither.
    """
    values = set(np.unique(grey).tolist()) - {0}
    if only and values != {left, right}:
        return np.where(grey > 0, only, 0).astype(np.uint8)
    if values - {left, right}:
        raise UnreadableError("a mask with values that mean no hand")
    return np.where(grey == left, 1, np.where(grey == right, 2, 0)).astype(np.uint8)
