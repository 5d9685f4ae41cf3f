"""Classifier-free guidance as one batch: every row without the prompt, then every row with it.

Knows nothing about what the rows are, and how the two answers are combined is denoise.py's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    def inputs(self, sample: Array, timestep: int) -> dict[str, NDArray[Any]]:
        """What every UNet takes: sample [B, C, h, w] and the time, for all rows."""
        context = self.context
        times = np.full(len(context), timestep, np.int64)
        return {"sample": self.rows(sample), "timestep": times, "context": context}

    def conditional_rows(self, answer: Array) -> Array:
        """[B or 2 B, ...] -> [B, ...]."""
        return answer[-len(self.conditional) :]

    def prediction(self, answer: Array, extras: Mapping[str, Array] | None = None) -> Prediction:
        """The two answers [B or 2 B, C, h, w] apart; `extras` are of the rows with the prompt."""
        without = None if self.unconditional is None else answer[: len(self.conditional)]
        return Prediction(self.conditional_rows(answer), without, extras or {})
