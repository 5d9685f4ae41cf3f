"""Smooth random fields in three dimensions: sums of sine waves, with their gradients for bumps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.geometry import Vector, unit
from handfirst.training.data.procedural.jit import compiled, inlined

Floats = NDArray[np.float64]

BLOCK = 256  # points summed at a time: their rows stay in the nearest cache while the waves pass


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
        return np.asarray(self._sum(points, gradient=False)[0])

    def gradient(self, points: Floats) -> Floats:
        """Gradient of the field at `points` [N,3]: [N,3], per cm."""
        return self.value_and_gradient(points)[1]

    def value_and_gradient(self, points: Floats) -> tuple[Floats, Floats]:
        """Field [N] and gradient [N,3] at `points` [N,3] in one pass."""
        rows = self._sum(points, gradient=True)
        return rows[0], rows[1:].T

    def _sum(self, points: Floats, gradient: bool) -> Floats:
        """Rows [4,N] of the value and the gradient, or [1,N] of the value alone."""
        rows = np.zeros((4 if gradient else 1, len(points)))
        _add_waves(np.ascontiguousarray(points.T), self.vectors, self.phases, gradient, rows)
        rows /= np.sqrt(len(self.phases))
        return rows


@inlined
def _sine_of_quarter(q: float) -> float:
    """sin(2 pi q) for |q| <= 1/4, by its Taylor series to within 1e-11; unlike libm's, a loop of it vectorises."""
    x = q * 6.283185307179586
    s = x * x
    series = 1.0 - s / 210.0
    series = 1.0 - s / 156.0 * series
    series = 1.0 - s / 110.0 * series
    series = 1.0 - s / 72.0 * series
    series = 1.0 - s / 42.0 * series
    series = 1.0 - s / 20.0 * series
    return x * (1.0 - s / 6.0 * series)


@inlined
def _cosine(turns: float) -> float:
    """cos(2 pi turns)."""
    return _sine_of_quarter(0.25 - abs(turns - np.floor(turns + 0.5)))


@compiled
def _add_waves(points: Floats, vectors: Floats, phases: Floats, gradient: bool, rows: Floats) -> None:
    """Add to `rows` ([4,N], or [1,N] without `gradient`) the sum of the waves and its gradient at `points` [3,N]."""
    for start in range(0, points.shape[1], BLOCK):
        end = min(start + BLOCK, points.shape[1])
        for k in range(len(phases)):
            kx, ky, kz = vectors[k]
            x, y, z, phase = kx / (2 * np.pi), ky / (2 * np.pi), kz / (2 * np.pi), phases[k] / (2 * np.pi)
            for n in range(start, end):
                turns = x * points[0, n] + y * points[1, n] + z * points[2, n] + phase
                rows[0, n] += _cosine(turns - 0.25)
                if gradient:
                    slope = _cosine(turns)
                    rows[1, n] += kx * slope
                    rows[2, n] += ky * slope
                    rows[3, n] += kz * slope
