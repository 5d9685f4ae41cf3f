"""The painted face: eyes, brows, lips, nostrils, cheeks and the hairline, in the head frame."""

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.hair import Hair
from handfirst.training.data.procedural.head import BROW_Y, EYE_X, EYE_Y, MOUTH_Y
from handfirst.training.data.procedural.paint import Paint, bell, blend
from handfirst.training.data.procedural.scene import Part
from handfirst.training.data.procedural.skin import Skin
from handfirst.training.data.procedural.surface import Surface

Floats = NDArray[np.float64]


def paint_face(surface: Surface, paint: Paint, skin: Skin, hair: Hair, iris: Floats) -> None:
    """Paint the samples of the face; `iris` is a linear colour [3]."""
    where = surface.is_part(Part.FACE)
    if not where.any():
        return
    frame = int(surface.packed.frame[surface.primitive[where]][0])
    local = surface.in_frame(frame, where)
    albedo = _flush(paint.albedo[where], local, skin)
    albedo = _eyes(albedo, local, skin, iris)
    albedo = _brows(albedo, local, skin, hair)
    albedo = _mouth_and_nose(albedo, local, skin)
    paint.albedo[where] = albedo
    if hair.style != "bald":
        _hairline(surface, paint, where, local, hair)


def _flush(albedo: Floats, local: Floats, skin: Skin) -> Floats:
    """Warm cheeks and shaded eye sockets."""
    x, y, z = np.abs(local[:, 0]), local[:, 1], local[:, 2]
    front = np.clip((z - 3) / 2, 0, 1)
    albedo = blend(albedo, 0.35 * bell(x - 4.3, 2.0) * bell(y - 17.6, 1.6), skin.colour * [1.12, 0.78, 0.75])
    return blend(albedo, 0.30 * bell(x - EYE_X, 2.3) * bell(y - 21.1, 1.3) * front, skin.colour * 0.55)


def _eyes(albedo: Floats, local: Floats, skin: Skin, iris: Floats) -> Floats:
    """White, iris, pupil, glint, lashes and lids."""
    x, y, front = np.abs(local[:, 0]), local[:, 1] - EYE_Y, local[:, 2] > 4
    u = (x - EYE_X) / 1.5
    upper, lower = 0.68 * (1 - u * u), -0.52 * (1 - u * u)
    eye = np.clip((upper - y) / 0.12, 0, 1) * np.clip((y - lower) / 0.12, 0, 1) * ((np.abs(u) < 1) & front)
    r = np.hypot(x - EYE_X, y)
    white = 0.42 + 0.38 * float(np.sqrt(skin.colour.mean()))  # a full white glares in a dark face
    albedo = blend(albedo, eye, white * np.array([1.0, 0.97, 0.95]))
    albedo = blend(albedo, eye * np.clip((0.72 - r) / 0.1, 0, 1), iris)
    albedo = blend(albedo, eye * np.clip((0.32 - r) / 0.08, 0, 1), np.full(3, 0.004))
    albedo = blend(albedo, eye * np.clip((0.14 - np.hypot(x - 3.4, y - 0.2)) / 0.08, 0, 1), np.ones(3))
    albedo = blend(albedo, (np.abs(u) < 1.12) * bell(y - upper, 0.13) * 0.9 * front, [0.02, 0.015, 0.012])
    albedo = blend(albedo, (np.abs(u) < 1.0) * bell(y - lower, 0.10) * 0.4 * front, skin.colour * 0.35)
    return blend(albedo, (np.abs(u) < 1.1) * bell(y - upper - 0.45, 0.12) * 0.35 * front, skin.colour * 0.5)


def _brows(albedo: Floats, local: Floats, skin: Skin, hair: Hair) -> Floats:
    x, y, front = np.abs(local[:, 0]), local[:, 1], np.clip((local[:, 2] - 3) / 2, 0, 1)
    height = BROW_Y + 0.5 * (1 - ((x - EYE_X) / 2) ** 2)
    brow = np.exp(-(((y - height) / 0.38) ** 4)) * (x > 1.1) * (x < 5.2) * front
    return blend(albedo, brow * 0.9, np.minimum(0.8 * hair.colour, skin.colour * 0.28))


def _mouth_and_nose(albedo: Floats, local: Floats, skin: Skin) -> Floats:
    """Lips and the line between them, nostrils, the wings of the nose, the dip under the lip."""
    x, y, z = np.abs(local[:, 0]), local[:, 1] - MOUTH_Y, local[:, 2]
    w = x / 2.4
    y = y - 0.28 * np.clip(w, 0, 1.2) ** 2  # corners a little up: a friendly mouth
    upper = np.where(w < 1, (0.75 - 0.25 * bell(x, 0.35)) * (1 - w * w), -9)
    lower = np.where(w < 1, -1.0 * (1 - w * w), 9)
    lips = np.clip((upper - y) / 0.15, 0, 1) * np.clip((y - lower) / 0.15, 0, 1) * (z > 5)
    albedo = blend(albedo, lips * 0.8, skin.colour * [0.85, 0.45, 0.45] + [0.06, 0.0, 0.0])
    albedo = blend(albedo, (w < 1) * bell(y, 0.13) * 0.85 * (z > 5), skin.colour * 0.18)
    albedo = blend(albedo, bell(x - 0.75, 0.42) * bell(y - 1.95, 0.25) * 0.85 * (z > 6), skin.colour * 0.12)
    albedo = blend(albedo, bell(x - 1.45, 0.22) * bell(y - 2.4, 0.6) * 0.3 * (z > 6), skin.colour * 0.4)
    return blend(albedo, bell(y + 1.4, 0.35) * bell(x, 1.6) * 0.25 * (z > 5), skin.colour * 0.5)


def _hairline(surface: Surface, paint: Paint, where: NDArray[np.bool_], local: Floats, hair: Hair) -> None:
    """Hair painted on the skull above the forehead and behind the temples."""
    x, y, z = local.T
    above = y > hair.edge(x)
    temple = (z < 1.6 - 0.3 * np.abs(np.sin(3 * y))) & (y > 18.0)
    strands = where.copy()
    strands[where] = above | temple
    if strands.any():
        hair.paint_strands(surface, paint, strands)
