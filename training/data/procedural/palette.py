"""Named colours: what is painted, and the words for it. Colours are sRGB in 0..1 unless a name says linear."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handfirst.training.data.procedural.geometry import pick

Floats = NDArray[np.float64]

CLEAR = 8.0  # in L*a*b*: nearer than this to the next word, people would argue about the colour

_HEX = {
    "black": "1c1c20", "white": "efefec", "grey": "85868a", "red": "c2302e", "orange": "e0812c", "yellow": "e6c944",
    "green": "3f8f4c", "teal": "2f9c9c", "blue": "3a62b8", "navy": "222c54", "purple": "7a4aa6", "pink": "e39ab8",
    "brown": "74492f", "beige": "d3bf9c",
}  # fmt: skip
COLOURS: dict[str, Floats] = {
    name: np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255.0 for name, code in _HEX.items()
}

SKIN_TONES: Floats = (
    np.array(
        [[245, 208, 180], [238, 190, 158], [224, 172, 138], [204, 148, 112],
         [176, 120, 86], [148, 98, 68], [120, 76, 52], [92, 58, 42]]
    ) / 255.0
)  # fmt: skip
SKIN_WORDS = ("pale", "light", "tan", "brown", "dark")
_SKIN_LIMITS = (0.7, 2.1, 3.5, 5.2)

HAIR_COLOURS: dict[str, Floats] = {
    "black": np.array([0.13, 0.11, 0.10]),
    "dark brown": np.array([0.25, 0.17, 0.11]),
    "brown": np.array([0.42, 0.29, 0.18]),
    "blond": np.array([0.76, 0.61, 0.37]),
    "red": np.array([0.56, 0.25, 0.12]),
    "grey": np.array([0.60, 0.60, 0.60]),
}


def to_linear(colour: ArrayLike) -> Floats:
    """sRGB to linear light."""
    c = np.asarray(colour, dtype=np.float64)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def to_srgb(colour: ArrayLike) -> Floats:
    """Linear light to sRGB, clipped to 0..1."""
    c = np.clip(np.asarray(colour, dtype=np.float64), 0.0, 1.0)
    return np.where(c <= 0.0031308, c * 12.92, 1.055 * c ** (1 / 2.4) - 0.055)


def _lab(colour: ArrayLike) -> Floats:
    """sRGB to CIE L*a*b* (D65)."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_linear(colour) @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


_NAMES = list(COLOURS)
_NAMES_LAB = _lab(np.array(list(COLOURS.values())))


def colour_name(colour: ArrayLike) -> str:
    """The vocabulary's nearest word for an sRGB colour (in L*a*b*)."""
    return _NAMES[int(np.argmin(np.linalg.norm(_NAMES_LAB - _lab(colour), axis=1)))]


def clearly(colour: ArrayLike, margin: float = CLEAR) -> bool:
    """Whether the nearest word is nearer than the next by `margin` (units of L*a*b*)."""
    first, second = np.sort(np.linalg.norm(_NAMES_LAB - _lab(colour), axis=1))[:2]
    return bool(second - first >= margin)


def random_colour(rng: np.random.Generator, among: tuple[str, ...] | None = None) -> Floats:
    """A palette colour (one of `among`, or any), varied in lightness and hue but never on the border of two words."""
    name = pick(rng, among or _NAMES)
    for _ in range(8):
        hue = rng.normal(0, 0.03, 3) * (0.2 + 0.8 * COLOURS[name].max())  # a dark colour is tinted by little
        near = COLOURS[name] * rng.uniform(0.85, 1.15) + hue
        colour = np.asarray(np.clip(near, 0.03, 0.95))
        if colour_name(colour) == name and clearly(colour):
            return colour
    return COLOURS[name].copy()


def other_names(name: str) -> tuple[str, ...]:
    """All colour words but `name`."""
    return tuple(word for word in _NAMES if word != name)


def skin_tone(level: float) -> Floats:
    """Skin colour [3] at `level` 0 (palest) to 7 (darkest)."""
    return np.array([np.interp(level, np.arange(len(SKIN_TONES)), SKIN_TONES[:, c]) for c in range(3)])


def skin_word(level: float) -> str:
    """One of SKIN_WORDS for a level of `skin_tone`."""
    return SKIN_WORDS[int(np.searchsorted(_SKIN_LIMITS, level))]


def random_hair(rng: np.random.Generator, skin_level: float) -> tuple[str, Floats]:
    """Hair word and sRGB colour; dark skin mostly goes with dark hair."""
    dark = skin_level > 4.0
    weights = (0.5, 0.28, 0.08, 0.03, 0.03, 0.08) if dark else (0.2, 0.24, 0.22, 0.18, 0.08, 0.08)
    word = pick(rng, tuple(HAIR_COLOURS), weights)
    return word, np.asarray(np.clip(HAIR_COLOURS[word] * rng.uniform(0.88, 1.12), 0.02, 0.95))
