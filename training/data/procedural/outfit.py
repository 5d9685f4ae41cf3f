"""Clothes: cloth with its colour, pattern, weave and folds; a top with sleeves, collar, cuffs and hem, trousers with a
belt line, shoes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.geometry import pick
from handfirst.training.data.procedural.noise import Waves
from handfirst.training.data.procedural.paint import Bools, Paint, bell
from handfirst.training.data.procedural.palette import colour_name, random_colour, to_linear
from handfirst.training.data.procedural.scene import Part
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


TROUSER_COLOURS = ("black", "grey", "navy", "blue", "brown", "white", "green")
# cm down the arm from the shoulder.
SLEEVE_ENDS = {"long": 50.0, "short": 17.36}
CUFFS = {"long": 46.3, "short": 13.8}


@dataclass(frozen=True)
class Outfit:
    """What a person wears; heights in cm of the body frame (shoulders at -3, hips at -50)."""

    top: Cloth
    trousers: Cloth
    sleeve: str
    collar: str  # round, v or trim
    hem: float  # height where the top ends
    tucked: bool
    hem_phase: float

    @staticmethod
    def draw(rng: np.random.Generator) -> "Outfit":
        tucked = bool(rng.uniform() < 0.35)
        top = Cloth.draw(rng, random_colour(rng), pick(rng, PATTERNS, (0.80, 0.12, 0.08)))
        trousers = Cloth.draw(rng, random_colour(rng, TROUSER_COLOURS), depth=0.10)
        return Outfit(
            top=top,
            trousers=trousers,
            sleeve=pick(rng, tuple(SLEEVE_ENDS), (0.55, 0.45)),
            collar=pick(rng, ("round", "v", "trim"), (0.4, 0.25, 0.35)),
            hem=float(rng.uniform(-44, -41) if tucked else rng.uniform(-56, -49)),
            tucked=tucked,
            hem_phase=float(rng.uniform(0, 6.28)),
        )

    @property
    def attributes(self) -> dict[str, str]:
        """Words for the caption."""
        return {
            "top": colour_name(self.top.colour),
            "pattern": self.top.pattern,
            "sleeve": self.sleeve,
            "trousers": colour_name(self.trousers.colour),
        }

    def apply(self, surface: Surface, paint: Paint) -> None:
        """Dress the samples of the torso, sleeves, legs and shoes."""
        self._paint_body(surface, paint)
        self._paint_sleeves(surface, paint)
        paint.set(surface.is_part(Part.SHOE), [0.03, 0.03, 0.035], gloss=0.2)

    def _paint_body(self, surface: Surface, paint: Paint) -> None:
        """Torso and legs: which cloth covers a point depends on its height alone."""
        body = surface.is_part(Part.TOP, Part.TROUSERS)
        bare = paint.albedo[body]
        local = surface.local[body]
        x, y, z = local.T
        hem = self.hem + 0.5 * np.sin(0.35 * x + self.hem_phase) + 0.02 * z
        above = y > hem
        top, trousers = body.copy(), body.copy()
        top[body], trousers[body] = above, ~above
        self.top.apply(surface, paint, top, local[above])
        self.trousers.apply(surface, paint, trousers, local[~above])
        albedo = paint.albedo[body]
        albedo[:] = albedo * (1 - 0.35 * bell(y - hem - 1.6, 0.25) * above)[:, None]  # stitching
        under = np.exp(-np.clip(hem - y, 0, 20) / 1.2) * ~above
        if self.tucked:
            albedo[~above & (y > hem - 3.0)] = 0.02  # belt
            buckle = (np.abs(x) < 2.0) & (np.abs(hem - y - 1.5) < 1.3) & (z > 0)
            albedo[buckle] = 0.45
        else:
            albedo *= (1 - 0.65 * under)[:, None]  # the top's shadow
            fly = bell(x, 0.3) * (y < hem - 1) * (y > -62) * (z > 0)
            albedo *= (1 - 0.4 * fly)[:, None]
        paint.albedo[body] = albedo
        self._paint_collar(paint, body, local, bare)

    def _paint_collar(self, paint: Paint, body: Bools, local: Floats, bare: Floats) -> None:
        """A neckline: `bare` skin [n,3] inside it, a darker or white rim along it."""
        x, y, z = local.T
        if self.collar == "v":
            width = np.clip((y + 12.0) / 13.0, 0, 1) * 6.0
            inside, edge = (np.abs(x) < width) & (z > 0), (np.abs(x) - width - 0.5) / 0.6
            rim = np.exp(-(edge**4)) * (z > 0) * (y > -13.0)
        else:
            ring = np.hypot(x / 6.4, (z + 1.0) / 7.6)
            inside, rim = (ring < 1.0) & (y > -6), np.exp(-(((ring - 1.06) / 0.07) ** 4)) * (y > -7)
        colour = 0.55 * paint.albedo[body] if self.collar != "trim" else np.full((len(x), 3), 0.75)
        albedo = paint.albedo[body] * (1 - rim[:, None]) + colour * rim[:, None]
        paint.albedo[body] = np.where(inside[:, None], bare, albedo)
        skin = paint.skin[body]
        paint.skin[body] = skin | inside

    def _paint_sleeves(self, surface: Surface, paint: Paint) -> None:
        """Sleeves carry their pattern along the arm; a cuff closes them."""
        where = surface.is_part(Part.SLEEVE)
        if not where.any():
            return
        packed, primitive = surface.packed, surface.primitive[where]
        rows = packed.capsules[primitive]
        bone = rows[:, 3:6] - rows[:, 0:3]
        share = ((surface.position[where] - rows[:, 0:3]) * bone).sum(axis=1) / (bone**2).sum(axis=1)
        start, end = packed.along[primitive].T
        along = start + (end - start) * share
        coordinates = surface.local[where].copy()
        coordinates[:, 1] = -along
        self.top.apply(surface, paint, where, coordinates)
        cuff = bell(along - CUFFS[self.sleeve], 0.35)
        paint.albedo[where] *= (1 - 0.45 * cuff)[:, None]
