"""Cloth: colour, pattern, weave and folds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.noise import Waves
from handfirst.training.data.procedural.paint import Bools, Paint
from handfirst.training.data.procedural.palette import to_linear
from handfirst.training.data.procedural.surface import Surface

Floats = NDArray[np.float64]

PATTERNS = ("plain", "striped", "checked")


@dataclass(frozen=True)
class Cloth:
    """A fabric: main and second sRGB colour [3], pattern, its period (cm), folds (deep and wide) and weave (fine)."""

    colour: Floats
    second: Floats
    pattern: str
    period: float
    folds: Waves
    weave: Waves
    depth: float

    @staticmethod
    def draw(
        rng: np.random.Generator, colour: Floats, pattern: str = "plain", period: float = 5.0, depth: float = 0.14
    ) -> "Cloth":
        """Fabric of a given colour; the second colour is a lighter or darker relative."""
        light = colour.mean() < 0.45
        second = np.clip(colour * 0.45 + (0.5 if light else 0.03), 0, 1)
        return Cloth(
            colour=colour,
            second=second,
            pattern=pattern,
            period=period * float(rng.uniform(0.8, 1.3)),
            folds=Waves.draw(rng, 14, 0.03, 0.14, (1.3, 0.6, 1.0)),
            weave=Waves.draw(rng, 16, 0.8, 1.6),
            depth=depth,
        )

    def apply(self, surface: Surface, paint: Paint, where: Bools, coordinates: Floats) -> None:
        """Paint the samples `where`; `coordinates` [n,3] (cm) carry the pattern (y runs along the stripes' normal)."""
        albedo = np.tile(to_linear(self.colour), (len(coordinates), 1))
        phase = 2 * np.pi / self.period
        if self.pattern == "striped":
            albedo[np.sin(coordinates[:, 1] * phase) > 0.2] = to_linear(self.second)
        elif self.pattern == "checked":
            lines = np.maximum(np.sin(coordinates[:, 1] * phase), np.sin(coordinates[:, 0] * phase))
            albedo[lines > 0.75] = to_linear(self.second)
        local = surface.local[where]
        folds, slopes = self.folds.value_and_gradient(local)
        shade = (1 + 0.05 * self.weave.value(local)) * (1 + 0.05 * folds)
        albedo *= shade[:, None]
        paint.set(where, albedo, gloss=0.03)
        paint.bump(where, self.depth / 0.35 * slopes @ surface.packed.placement.rotation.T)
