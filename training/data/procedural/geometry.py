"""Small vector helpers. Lengths are centimetres, angles degrees, unless a name says otherwise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]  # [3] or [N,3]
Matrix = NDArray[np.float64]  # [3,3]

X: Vector = np.array([1.0, 0.0, 0.0])
Y: Vector = np.array([0.0, 1.0, 0.0])
Z: Vector = np.array([0.0, 0.0, 1.0])


def vector(x: float, y: float, z: float) -> Vector:
    """A point or direction [3]."""
    return np.array([x, y, z], dtype=np.float64)


def unit(v: ArrayLike) -> Vector:
    """`v` [..., 3] scaled to length one."""
    a = np.asarray(v, dtype=np.float64)
    return np.asarray(a / (np.linalg.norm(a, axis=-1, keepdims=True) + 1e-12), dtype=np.float64)


def rotation(axis: ArrayLike, degrees: float) -> Matrix:
    """Rotation [3,3] about `axis` by the right-hand rule (Rodrigues)."""
    x, y, z = unit(axis)
    skew = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = np.radians(degrees)
    return np.asarray(np.eye(3) + np.sin(angle) * skew + (1.0 - np.cos(angle)) * (skew @ skew), dtype=np.float64)


def frame_along(y: Vector, z_hint: Vector) -> Matrix:
    """Right-handed frame [3,3] (columns x, y, z) with its y along `y` and its z as near `z_hint` as can be."""
    y = unit(y)
    z = z_hint - y * float(z_hint @ y)
    if np.linalg.norm(z) < 0.2:
        z = np.cross(y, vector(1.0, 0.0, 0.2))
    z = unit(z)
    return np.stack([np.cross(y, z), y, z], axis=1)


def two_bone_ik(root: Vector, target: Vector, upper: float, lower: float, pole: Vector) -> tuple[Vector, Vector]:
    """Middle joint and reached end [3] of a two-bone chain; the middle joint bends towards `pole`."""
    reach = target - root
    length = float(np.linalg.norm(reach))
    direction = reach / length
    length = min(max(length, 6.0), (upper + lower) * 0.985)
    along = (upper * upper - lower * lower + length * length) / (2.0 * length)
    height = float(np.sqrt(max(upper * upper - along * along, 0.0)))
    bend = unit(pole - direction * float(pole @ direction))
    return root + direction * along + bend * height, root + direction * length


def mix(a: ArrayLike, b: ArrayLike, t: float) -> Vector:
    """Linear interpolation from `a` (t=0) to `b` (t=1)."""
    return np.asarray(np.asarray(a) * (1.0 - t) + np.asarray(b) * t, dtype=np.float64)


def pick(rng: np.random.Generator, words: Sequence[str], weights: Sequence[float] | None = None) -> str:
    """One of `words`, with `weights` that sum to one (uniform when None)."""
    return str(words[int(rng.choice(len(words), p=weights))])
