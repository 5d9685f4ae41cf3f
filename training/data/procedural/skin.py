"""Skin: mottling, light palms, creases, knuckles, veins and nails. Painted in the hand's own frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.noise import Waves
from handfirst.training.data.procedural.paint import Bools, Paint, bell
from handfirst.training.data.procedural.palette import skin_tone, to_linear
from handfirst.training.data.procedural.scene import Part
from handfirst.training.data.procedural.surface import Surface

Floats = NDArray[np.float64]

HAND_PARTS = (Part.PALM, Part.FOREARM, Part.THUMB_BASE, Part.THUMB, Part.PROXIMAL, Part.MIDDLE, Part.TIP, Part.PAD)


@dataclass(frozen=True)
class Skin:
    """One person's skin: tone level, linear colour [3] and random fields."""

    level: float
    colour: Floats
    mottle: Waves
    grain: Waves
    pores: Waves

    @staticmethod
    def draw(rng: np.random.Generator, level: float | None = None) -> "Skin":
        """A tone uniform over the range, unless `level` (0 palest to 7 darkest) is given."""
        level = float(rng.uniform(0.0, 7.0)) if level is None else level
        return Skin(
            level=level,
            colour=to_linear(skin_tone(level)),
            mottle=Waves.draw(rng, 12, 0.17, 1.0),
            grain=Waves.draw(rng, 20, 1.0, 3.0),
            pores=Waves.draw(rng, 24, 1.2, 3.5),
        )

    def apply(self, surface: Surface, paint: Paint) -> None:
        """Paint every sample as skin; other materials overwrite their own parts afterwards."""
        mottle = self.mottle.value(surface.local)[:, None] * np.array([0.5, 1.0, 1.0])
        grain = self.grain.value(surface.local)[:, None]
        paint.albedo = self.colour * (1 + 0.05 * mottle) * (1 + 0.025 * grain)
        everywhere = np.ones(len(grain), dtype=bool)
        bumps = 0.0035 * self.pores.gradient(surface.local)
        paint.bump(everywhere, bumps @ surface.packed.placement.rotation.T)
        hand = surface.is_part(*HAND_PARTS)
        if hand.any():
            _paint_hands(self, surface, paint, hand)


@dataclass(frozen=True)
class _HandSamples:
    """The samples of hands: local coordinates [n,3], how dorsal they face [n], distance along their bone [n]."""

    where: Bools
    part: NDArray[np.int64]
    local: Floats
    dorsal: Floats
    along: Floats  # cm from the capsule's start
    fraction: Floats  # the same as a share of its length

    def is_part(self, *parts: Part) -> Bools:
        return np.isin(self.part, [int(p) for p in parts])


def _hand_samples(surface: Surface, where: Bools) -> _HandSamples:
    packed = surface.packed
    primitive = surface.primitive[where]
    rows = packed.capsules[primitive]
    bone = rows[:, 3:6] - rows[:, 0:3]
    length = np.linalg.norm(bone, axis=1) + 1e-6
    along = ((surface.position[where] - rows[:, 0:3]) * bone).sum(axis=1) / length
    local = np.zeros((len(primitive), 3))
    for index in np.unique(packed.frame[primitive]):
        mine = packed.frame[primitive] == index
        local[mine] = packed.scene.frames[index].local(surface.local[where][mine])
    dorsal = (surface.normal[where] * packed.dorsal[primitive]).sum(axis=1)
    return _HandSamples(where, packed.part[primitive], local, dorsal, along, along / length)


def _paint_hands(skin: Skin, surface: Surface, paint: Paint, where: Bools) -> None:
    hand = _hand_samples(surface, where)
    albedo = paint.albedo[where]
    albedo = _palms(skin, hand, albedo)
    albedo = _knuckles(hand, albedo)
    albedo = _palm_lines(hand, albedo)
    paint.albedo[where] = albedo
    _nails(skin, surface, paint)


def _palms(skin: Skin, hand: _HandSamples, albedo: Floats) -> Floats:
    """Palms are redder, and much lighter on dark skin."""
    lightness = float(skin.colour.mean())
    colour = skin.colour * np.array([1.04, 0.93, 0.92])
    colour = colour + 0.22 * np.array([1.0, 0.72, 0.6]) * max(0.0, min(1.0, 0.35 - lightness))
    weight = np.clip(-hand.dorsal * 1.3, 0, 1)
    base = hand.is_part(Part.PALM, Part.FOREARM)
    weight = weight * np.where(base, np.clip((hand.local[:, 1] + 0.8) / 2.2, 0, 1), 1.0)
    return np.asarray(albedo * (1 - weight[:, None]) + colour * (albedo / skin.colour) * weight[:, None])


def _knuckles(hand: _HandSamples, albedo: Floats) -> Floats:
    """Red fingertips and knuckles, wrinkles on the back of the joints, one crease on the inside."""
    tip, middle = hand.is_part(Part.TIP), hand.is_part(Part.MIDDLE)
    red = 0.5 * np.clip(hand.fraction, 0, 1) * hand.is_part(Part.TIP, Part.PAD)
    red = red + 0.5 * (bell(hand.along, 0.28) * tip + bell(hand.along, 0.30) * middle) * np.clip(hand.dorsal, 0, 1)
    wrinkle = np.abs(np.sin(hand.along * 2 * np.pi / 0.32)) * bell(hand.along, 0.55)
    crease = wrinkle * np.clip(hand.dorsal, 0, 1) * 0.16 + bell(hand.along, 0.12) * np.clip(-hand.dorsal, 0, 1) * 0.35
    crease = crease * (tip | middle)
    albedo = albedo * (1 - crease[:, None] * np.array([0.6, 0.9, 1.0]))
    return np.asarray(albedo * (1 + red[:, None] * np.array([0.06, -0.14, -0.12])))


def _palm_lines(hand: _HandSamples, albedo: Floats) -> Floats:
    """Heart, head and life lines, the wrist crease, and faint veins on the back of the hand."""
    x, y = hand.local[:, 0], hand.local[:, 1]
    wobble = 0.08 * np.sin(x * 2.1) + 0.06 * np.sin(y * 1.7 + 1)
    heart = bell(y - (6.9 - 0.035 * (x - 2.6) ** 2 + wobble + 0.25 * x), 0.11) * (x < 1.6) * (x > -3.4)
    head = bell(y - (5.2 + 0.33 * x + 0.035 * x * x + wobble), 0.10) * (x > -3) * (x < 2.6)
    life = bell(np.hypot(x - 2.9, (y - 3.4) * 0.80) - 2.35 + wobble, 0.11) * (x < 2.2) * (y > 0.8)
    inside = hand.is_part(Part.PALM, Part.THUMB_BASE) & (hand.dorsal < 0.1)
    lines = 0.22 * np.clip(heart + head + life, 0, 1) * inside * np.clip(-hand.dorsal * 2 + 0.2, 0, 1)
    albedo = albedo * (1 - lines)[:, None] ** np.array([0.7, 1.0, 1.1])
    base = hand.is_part(Part.PALM, Part.FOREARM)
    albedo = albedo * (1 - 0.22 * bell(y + 0.15 + wobble, 0.10) * base * (hand.dorsal < 0.2))[:, None]
    ridge = np.sin(x * 1.9 + 0.5 * np.sin(y * 0.9 + 1)) - 0.2 * np.sin(y * 1.3)
    vein = 0.06 * bell(ridge, 0.16) * np.clip((7.5 - y) / 3, 0, 1)
    vein = vein * (hand.is_part(Part.PALM) & (hand.dorsal > 0.2))
    return np.asarray(albedo * (1 - vein[:, None] * np.array([1.3, 0.6, 0.4])))


def _nails(skin: Skin, surface: Surface, paint: Paint) -> None:
    """Rounded-square nails on the backs of the fingertips, with lunula, free edge, rim and gloss."""
    packed = surface.packed
    sel = np.nonzero(packed.tip[surface.primitive] >= 0)[0]
    if not len(sel):
        return
    tip = packed.tip[surface.primitive[sel]]
    rows = packed.capsules[tip]
    bone = rows[:, 3:6] - rows[:, 0:3]
    length = np.linalg.norm(bone, axis=1)
    bone = bone / length[:, None]
    dorsal, radius = packed.dorsal[tip], rows[:, 7]
    offset = surface.position[sel] - rows[:, 0:3]
    along = (offset * bone).sum(axis=1)
    across = (offset * np.cross(bone, dorsal)).sum(axis=1)
    above = (offset * dorsal).sum(axis=1)
    x = (along - length - radius * 0.05) / (radius * 1.12)
    shape = np.abs(x) ** 3 + np.abs(across / (radius * 0.80)) ** 3
    nail = np.clip((1 - shape) / 0.18, 0, 1) * (above > radius * 0.25)
    lightness = 0.45 + 0.55 * min(1.0, float(skin.colour.mean()) / 0.4)
    colour = skin.colour * 0.55 + np.array([0.36, 0.225, 0.1935]) * lightness
    pale = 1 + 0.25 * np.clip((x - 0.72) / 0.12, 0, 1) + 0.07 * bell(x + 0.85, 0.25)
    rim = 0.30 * bell(shape - 1.0, 0.22) * (above > radius * 0.2)
    albedo = paint.albedo[sel] * (1 - nail[:, None]) + colour * pale[:, None] * nail[:, None]
    paint.albedo[sel] = albedo * (1 - rim[:, None])
    paint.gloss[sel] += 0.25 * nail
    paint.shininess[sel] += 40 * nail
