"""Hairstyles: lobes of hair around the skull, the hairline on the forehead, and strands."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.geometry import X, pick, vector
from handfirst.training.data.procedural.head import in_frame
from handfirst.training.data.procedural.noise import Waves
from handfirst.training.data.procedural.paint import Bools, Paint
from handfirst.training.data.procedural.palette import random_hair, to_linear
from handfirst.training.data.procedural.scene import Capsule, Frame, Part, Scene
from handfirst.training.data.procedural.surface import Surface

Floats = NDArray[np.float64]

STYLES = ("short", "long", "curly", "tied-back", "bald")
_WEIGHTS = (0.40, 0.28, 0.12, 0.12, 0.08)
CROWN = vector(0.0, 30.0, -5.0)


@dataclass(frozen=True)
class Hair:
    """Style and colour, the hairline's height and slant on the forehead (cm), and the strands' random field."""

    style: str
    word: str
    colour: Floats  # linear
    hairline: float
    slant: float
    fringe: bool
    strands: Waves
    curls: Waves

    @staticmethod
    def draw(rng: np.random.Generator, skin_level: float) -> "Hair":
        word, colour = random_hair(rng, skin_level)
        fringe = bool(rng.uniform() < 0.3)
        return Hair(
            style=pick(rng, STYLES, _WEIGHTS),
            word=word,
            colour=to_linear(colour),
            hairline=float(rng.uniform(24.2, 25.4) if fringe else rng.uniform(26.2, 27.8)),
            slant=float(rng.uniform(-0.22, 0.22)),
            fringe=fringe,
            strands=Waves.draw(rng, 24, 0.8, 4.0),
            curls=Waves.draw(rng, 10, 0.25, 0.5),
        )

    def edge(self, x: Floats) -> Floats:
        """Height of the hairline [N] above the face at `x` [N] (head frame): an arch, or a ragged fringe."""
        if self.fringe:
            ragged = 0.25 * np.sin(2.1 * x + 3 * self.slant) + 0.15 * np.sin(5.3 * x)
            return np.asarray(self.hairline + self.slant * x - 0.05 * x * x + ragged)
        arch = 2.6 * (np.abs(x) / 5.6) ** 4
        return np.asarray(self.hairline + 0.6 * self.slant * x - arch + 0.12 * np.sin(4 * x))

    def add_to(self, scene: Scene, frame: Frame) -> None:
        """Add the lobes of this style."""
        lobes = _lobes(self.style)
        if lobes:
            index = scene.add_frame(frame)
            scene.add(in_frame(lobes, frame, index), 2.0)

    def apply(self, surface: Surface, paint: Paint) -> None:
        """Strands that fall from the crown; bumps for curls."""
        where = surface.is_part(Part.HAIR)
        if where.any():
            self.paint_strands(surface, paint, where)

    def paint_strands(self, surface: Surface, paint: Paint, where: Bools) -> None:
        """Paint the samples `where` (with a frame of the head) as hair."""
        frame = int(surface.packed.frame[surface.primitive[where]][0])
        local = surface.in_frame(frame, where) - CROWN
        rim = np.hypot(local[:, 0], local[:, 2]) + 1.0
        # Around the crown, strands keep their direction; further down they hang.
        polar = np.column_stack([6 * local[:, 0] / rim, 0.12 * local[:, 1], 6 * local[:, 2] / rim])
        strand, slopes = self.strands.value_and_gradient(polar)
        albedo = self.colour * (1 + 0.22 * np.clip(strand, -2, 2))[:, None]
        paint.set(where, np.maximum(albedo, 0.004), gloss=0.10, shininess=14.0)
        bumps = 0.5 * self.curls.gradient(local) if self.style == "curly" else 0.02 * slopes
        axes = surface.packed.placement.rotation @ surface.packed.scene.frames[frame].axes
        paint.bump(where, bumps @ axes.T)


def _lobes(style: str) -> list[Capsule]:
    """Capsules of a style in the head frame."""
    if style == "bald":
        return []

    def lobe(a: tuple[float, float, float], b: tuple[float, float, float], ra: float, rb: float) -> Capsule:
        return Capsule(vector(*a), vector(*b), ra, rb, Part.HAIR, axis=X, squash=1.06)

    grow = 1.6 if style == "curly" else 0.0
    cap = [
        lobe((0, 24.6, -3.4), (0, 26.0, 0.6), 8.7 + grow, 7.9 + grow * 0.8),
        lobe((0, 20.0, -4.6), (0, 17.0, -4.4), 6.9 + grow, 5.6 + grow),
    ]
    if style == "long":
        sides = [
            strand
            for side in (-1, 1)
            for strand in (
                lobe((side * 6.6, 25, -1.0), (side * 7.4, 14, -1.8), 2.3, 2.5),
                lobe((side * 7.4, 14, -1.8), (side * 7.6, 4.0, -0.5), 2.5, 1.7),
            )
        ]
        return [*cap, *sides, lobe((0, 20, -5.5), (0, 5, -7.0), 6.8, 5.6)]
    if style == "tied-back":
        return [*cap, lobe((0, 30.5, -7.5), (0, 31.5, -8.5), 3.6, 3.4)]
    return cap
