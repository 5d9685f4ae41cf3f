"""One key light with soft shadow, a sky-and-ground ambient light, and a little fill from the camera."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.geometry import Vector, unit
from handfirst.training.data.procedural.paint import Paint
from handfirst.training.data.procedural.surface import Surface

Floats = NDArray[np.float64]

SKY = np.array([0.62, 0.66, 0.72])
GROUND = np.array([0.42, 0.36, 0.32])
KEY = np.array([1.0, 0.96, 0.9])
WRAP = np.array([0.35, 0.18, 0.12])  # light bleeds past the terminator in skin, red most
BLEED = np.array([0.10, 0.02, 0.0])


@dataclass(frozen=True)
class Lighting:
    """Unit direction to the key light [3] (camera space) and the strengths of key and ambient light."""

    direction: Vector
    key: float
    ambient: float

    @staticmethod
    def draw(rng: np.random.Generator) -> "Lighting":
        """From above and in front, left or right."""
        direction = unit([rng.uniform(-0.8, 0.8), rng.uniform(0.2, 1.0), rng.uniform(0.5, 1.15)])
        return Lighting(direction, float(rng.uniform(0.8, 1.15)), float(rng.uniform(0.45, 0.65)))

    def shade(self, surface: Surface, paint: Paint) -> Floats:
        """Linear colour [N,3] of the painted samples, highlights compressed."""
        normal, skin = paint.normal, paint.skin[:, None]
        view = unit(-surface.position)
        facing = np.clip((normal * view).sum(axis=1), 0, 1)
        lambert = (normal @ self.direction)[:, None]
        shadow = (0.12 + 0.88 * surface.shadow)[:, None]
        wrapped = np.clip((lambert + WRAP) / (1 + WRAP), 0, 1) * np.clip(shadow + (1 - shadow) * BLEED, 0, 1)
        diffuse = np.where(skin, wrapped, np.clip(lambert, 0, 1) * shadow)
        half = unit(view + self.direction)
        highlight = np.clip((normal * half).sum(axis=1), 0, 1) ** paint.shininess
        specular = paint.gloss * highlight * surface.shadow
        up = (normal[:, 1] * 0.5 + 0.5)[:, None]
        ambient = (SKY * up + GROUND * (1 - up)) * self.ambient + 0.18 * facing[:, None]
        open_sky = surface.occlusion[:, None] ** np.where(skin, np.array([0.75, 1.0, 1.1]), 1.0)
        light = diffuse * KEY * self.key + ambient * open_sky
        colour = paint.albedo * light + specular[:, None]
        colour = colour + 0.05 * ((1 - facing) ** 4)[:, None] * open_sky
        return _compress(colour)


def _compress(colour: Floats) -> Floats:
    """Linear up to 0.6, then a shoulder that never reaches one."""
    shoulder = 0.6 + 0.4 * (1 - np.exp(-(np.maximum(colour, 0.6) - 0.6) / 0.4))
    return np.asarray(np.where(colour > 0.6, shoulder, colour), dtype=np.float64)
