"""The appearance of surface samples before light: what the painters write and the lighting reads."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handfirst.training.data.procedural.surface import Surface

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass
class Paint:
    """Per sample: linear albedo [N,3], specular strength and exponent [N], skin or not [N], camera normal [N,3]."""

    albedo: Floats
    gloss: Floats
    shininess: Floats
    skin: Bools
    normal: Floats

    @staticmethod
    def blank(surface: Surface) -> "Paint":
        """Everything grey skin with the geometric normal."""
        n = len(surface.primitive)
        return Paint(
            albedo=np.full((n, 3), 0.5),
            gloss=np.full(n, 0.10),
            shininess=np.full(n, 22.0),
            skin=np.ones(n, dtype=bool),
            normal=surface.normal.copy(),
        )

    def set(self, where: Bools, albedo: ArrayLike, gloss: float, skin: bool = False, shininess: float = 22.0) -> None:
        """Overwrite the samples `where` with one material; `albedo` is [3] or one row a sample."""
        self.albedo[where] = albedo
        self.gloss[where] = gloss
        self.shininess[where] = shininess
        self.skin[where] = skin

    def bump(self, where: Bools, gradient: Floats) -> None:
        """Tilt the normals of the samples `where` against a height `gradient` [n,3] (camera space, no unit)."""
        normal = self.normal[where]
        tangent = gradient - normal * (gradient * normal).sum(axis=1, keepdims=True)
        tilted = normal - tangent
        self.normal[where] = tilted / np.linalg.norm(tilted, axis=1, keepdims=True)


def blend(albedo: Floats, weight: Floats, colour: ArrayLike) -> Floats:
    """`albedo` [N,3] moved towards `colour` by `weight` [N], clipped to 0..1."""
    w = np.clip(weight, 0.0, 1.0)[:, None]
    return np.asarray(albedo * (1 - w) + np.asarray(colour) * w)


def bell(x: Floats, width: float) -> Floats:
    """Gaussian bump exp(-(x/width)^2)."""
    return np.asarray(np.exp(-((x / width) ** 2)))
