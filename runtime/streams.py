"""One stream of noise per part of a picture, so that a part is the same alone, in any batch and beside any other part.

Knows nothing about what the parts are: a seed each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.noise import randn


class Streams:
    """The noise of B parts over a whole run.

    A part's stream is one draw of torch's CPU generator seeded with its seed: first x_T, then, where eta is not 0, the
    fresh noise of one step after the other, as a diffusers pipeline with that generator would draw it.

    Args:
        seeds: one per part.
        shape: of one part, [C, h, w].
        steps: S if fresh noise is needed in every step, else 0.
    """

    def __init__(self, seeds: Sequence[int], shape: tuple[int, int, int], steps: int = 0) -> None:
        self._draws = np.stack([randn(seed, (1 + steps, *shape)) for seed in seeds])

    @property
    def x_T(self) -> NDArray[np.float32]:  # noqa: N802
        """The starting noise, float32 [B, C, h, w]."""
        return self._draws[:, 0]

    def fresh(self, index: int) -> NDArray[np.float32]:
        """The noise of step 1..S, float32 [B, C, h, w]."""
        return self._draws[:, index]
