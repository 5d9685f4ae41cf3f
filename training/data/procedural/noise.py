"""Smooth random fields in three dimensions: sums of sine waves, with their gradients for bumps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.geometry import Vector, unit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Waves:
    """K sine waves: angular wave vectors [K,3] (rad/cm) and phases [K]; values have variance one half."""

    vectors: Floats
    phases: Floats

    @staticmethod
    def draw(
        rng: np.random.Generator, count: int, low: float, high: float, stretch: tuple[float, float, float] = (1, 1, 1)
    ) -> "Waves":
        """Random directions with `low` to `high` cycles a centimetre, multiplied along each axis by `stretch`."""
        directions: Vector = unit(rng.normal(size=(count, 3)))
        cycles = rng.uniform(low, high, (count, 1))
        vectors = directions * cycles * 2 * np.pi * np.asarray(stretch, dtype=np.float64)
        return Waves(vectors, rng.uniform(0, 2 * np.pi, count))

    def value(self, points: Floats) -> Floats:
        """Field at `points` [N,3]: [N]."""
        return np.asarray(np.sin(points @ self.vectors.T + self.phases).sum(axis=1) / np.sqrt(len(self.phases)))

    def gradient(self, points: Floats) -> Floats:
        """Gradient of the field at `points` [N,3]: [N,3], per cm."""
        return np.asarray(np.cos(points @ self.vectors.T + self.phases) @ self.vectors / np.sqrt(len(self.phases)))
