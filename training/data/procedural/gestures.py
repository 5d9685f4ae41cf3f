"""Fifteen hand poses as joint angles (degrees), and their jitter."""

from dataclasses import dataclass

import numpy as np

FINGERS = ("index", "middle", "ring", "little")
Flexion = tuple[float, float, float]  # at the MCP, PIP and DIP joints


@dataclass(frozen=True)
class Thumb:
    """Thumb angles: palmar abduction and ulnar flexion at the CMC joint, flexion at MCP and IP, axial twist."""

    abduction: float
    flexion: float
    mcp: float
    ip: float
    twist: float


@dataclass(frozen=True)
class Gesture:
    """Flexion of the four fingers (index to little), their spread (1 = relaxed fan) and the thumb."""

    fingers: tuple[Flexion, Flexion, Flexion, Flexion]
    spread: float
    thumb: Thumb

    def jittered(self, rng: np.random.Generator) -> "Gesture":
        """A natural variation: fingers +-5 degrees, thumb +-4 degrees (standard deviations)."""
        fingers = [_noisy(f, 5.0, rng) for f in self.fingers]
        t = self.thumb
        thumb = Thumb(*(a + float(rng.normal(0, 4)) for a in (t.abduction, t.flexion, t.mcp, t.ip, t.twist)))
        return Gesture((fingers[0], fingers[1], fingers[2], fingers[3]), self.spread * rng.uniform(0.7, 1.2), thumb)


def _noisy(angles: Flexion, sigma: float, rng: np.random.Generator) -> Flexion:
    a, b, c = (float(v + rng.normal(0, sigma)) for v in angles)
    return a, b, c


_OPEN: Flexion = (8, 8, 5)
_FOLDED: Flexion = (84, 104, 64)
_SHUT = (_FOLDED, _FOLDED, _FOLDED, _FOLDED)

# Underscores become spaces in captions.
GESTURES: dict[str, Gesture] = {
    "open_palm": Gesture((_OPEN, _OPEN, _OPEN, _OPEN), 1.0, Thumb(18, -8, 2, 0, 0)),
    "flat_hand": Gesture(((4, 5, 3), (4, 5, 3), (4, 5, 3), (4, 5, 3)), 0.1, Thumb(10, 18, 6, 4, 0)),
    "fist": Gesture(_SHUT, 0.0, Thumb(50, -14, 46, 49, 2)),
    "thumbs_up": Gesture(_SHUT, 0.0, Thumb(5, -8, -2, -10, 0)),
    "pointing": Gesture((_OPEN, _FOLDED, _FOLDED, _FOLDED), 0.1, Thumb(56, -14, 47, 44, 0)),
    "peace_sign": Gesture((_OPEN, _OPEN, _FOLDED, _FOLDED), 1.3, Thumb(56, -7, 60, 36, -9)),
    "three_fingers": Gesture((_OPEN, _OPEN, _OPEN, _FOLDED), 1.0, Thumb(56, 14, 60, 56, -20)),
    "four_fingers": Gesture((_OPEN, _OPEN, _OPEN, _OPEN), 1.0, Thumb(40, 42, 40, 40, 40)),
    "ok_sign": Gesture(((52, 58, 32), (22, 18, 10), (12, 12, 8), (5, 8, 5)), 0.8, Thumb(46, -11, 38, 52, 11)),
    "rock_sign": Gesture((_OPEN, _FOLDED, _FOLDED, _OPEN), 0.4, Thumb(56, -14, 55, 37, -6)),
    "call_me": Gesture((_FOLDED, _FOLDED, _FOLDED, (5, 8, 5)), 0.4, Thumb(10, -10, 0, -5, 0)),
    "relaxed": Gesture(((22, 28, 15), (28, 32, 18), (32, 36, 20), (34, 36, 20)), 0.4, Thumb(28, 10, 10, 12, 15)),
    "claw": Gesture(((15, 60, 40), (15, 60, 40), (15, 60, 40), (15, 60, 40)), 0.9, Thumb(35, -4, 15, 35, 15)),
    "grip": Gesture(((50, 55, 30), (52, 58, 30), (55, 60, 32), (56, 60, 32)), 0.1, Thumb(56, -14, 42, 6, -6)),
    "finger_gun": Gesture((_OPEN, _FOLDED, _FOLDED, _FOLDED), 0.1, Thumb(8, -8, 0, -5, 0)),
}
