"""Classifier-free guidance as one batch: every row without the prompt, then every row with it.

Knows nothing about what the rows are, and how the two answers are combined is denoise.py's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.engine import Tensor
from handfirst.runtime.denoise import Prediction

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Guided:
    """Contexts float32 [B, L, D]; without `unconditional` (guidance 1) half of the work is saved."""

    conditional: Array
    unconditional: Array | None

    @property
    def context(self) -> Array:
        """[B or 2 B, L, D], the rows that `rows` makes of a batch."""
        return (
            self.conditional if self.unconditional is None else np.concatenate([self.unconditional, self.conditional])
        )

    def rows(self, array: Array) -> Array:
        """[B, ...] -> [B or 2 B, ...]: the same rows for both answers."""
        return array if self.unconditional is None else np.concatenate([array, array])

    def inputs(self, sample: Array, timestep: int, context: Tensor | None = None) -> dict[str, Tensor]:
        """What every UNet takes, for all rows.

        Args:
            sample: [B, C, h, w].
            context: `self.context` where it lies on a device already.
        """
        context = self.context if context is None else context
        times = np.full(context.shape[0], timestep, np.int64)
        return {"sample": self.rows(sample), "timestep": times, "context": context}

    def conditional_rows(self, answer: Array) -> Array:
        """[B or 2 B, ...] -> [B, ...]."""
        return answer[-len(self.conditional) :]

    def prediction(self, answer: Array, extras: Mapping[str, Tensor] | None = None) -> Prediction:
        """The two answers [B or 2 B, C, h, w] apart; `extras` are passed on as they are."""
        without = None if self.unconditional is None else answer[: len(self.conditional)]
        return Prediction(self.conditional_rows(answer), without, extras or {})
