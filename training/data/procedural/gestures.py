"""Hand poses as joint angles (degrees) under HaGRID's names, and their jitter.

"inverted" is the back of the hand. `three3` and the poses that HaGRID does not have are as drawn here.
"""

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
    """Flexion of the four fingers (index to little), their spread (1 = relaxed fan) and the thumb.

    `face` is the side of the hand that the gesture shows: palm, back or either. `tilt` turns the hand in its own plane,
    thumb upwards if positive, before it is shown: a thumb must point up or down, whatever the view.
    """

    fingers: tuple[Flexion, Flexion, Flexion, Flexion]
    spread: float
    thumb: Thumb
    face: str = "either"
    tilt: float = 0.0

    def jittered(self, rng: np.random.Generator, much: float = 1.0) -> "Gesture":
        """A natural variation: fingers +-5 degrees, thumb +-2.5 degrees (standard deviations), times `much`."""
        fingers = [_noisy(f, 5.0 * much, rng) for f in self.fingers]
        t = self.thumb
        thumb = Thumb(*(a + float(rng.normal(0, 2.5 * much)) for a in (t.abduction, t.flexion, t.mcp, t.ip, t.twist)))
        spread, tilt = self.spread * float(rng.uniform(0.7, 1.2)), self.tilt + float(rng.normal(0, 8))
        return Gesture((fingers[0], fingers[1], fingers[2], fingers[3]), spread, thumb, self.face, tilt)


def _noisy(angles: Flexion, sigma: float, rng: np.random.Generator) -> Flexion:
    a, b, c = (float(v + rng.normal(0, sigma)) for v in angles)
    return a, b, c


_OPEN: Flexion = (8, 8, 5)
_FLAT: Flexion = (4, 5, 3)
_FOLDED: Flexion = (90, 108, 66)
_SHUT = (_FOLDED, _FOLDED, _FOLDED, _FOLDED)
_SPREAD = (_OPEN, _OPEN, _OPEN, _OPEN)
_TOGETHER = (_FLAT, _FLAT, _FLAT, _FLAT)
_WRAPPED = Thumb(46, -5, 53, 51, -14)  # across the folded index and middle finger
_ONE = (_OPEN, _FOLDED, _FOLDED, _FOLDED)
_TWO = (_OPEN, _OPEN, _FOLDED, _FOLDED)
_ON_MIDDLE = Thumb(66, -5, 41, 68, -21)
_ON_RING = Thumb(65, -2, 55, 46, -23)
_OUT = Thumb(5, -8, -2, -10, 0)

# Underscores become spaces in captions.
GESTURES: dict[str, Gesture] = {
    "call": Gesture((_FOLDED, _FOLDED, _FOLDED, (5, 8, 5)), 0.4, Thumb(10, -10, 0, -5, 0)),
    "dislike": Gesture(_SHUT, 0.0, _OUT, "palm", -115),
    "fist": Gesture(_SHUT, 0.0, _WRAPPED),
    "four": Gesture(_SPREAD, 1.0, Thumb(40, 42, 40, 40, 40)),
    "like": Gesture(_SHUT, 0.0, _OUT, "back", 65),
    "mute": Gesture(((5, 6, 4), _FOLDED, _FOLDED, _FOLDED), 0.1, _ON_MIDDLE),
    "ok": Gesture(((52, 58, 32), (22, 18, 10), (12, 12, 8), (5, 8, 5)), 0.8, Thumb(46, -11, 38, 52, 11)),
    "one": Gesture(_ONE, 0.1, _ON_MIDDLE),
    "palm": Gesture(_SPREAD, 1.0, Thumb(18, -8, 2, 0, 0), "palm"),
    "peace": Gesture(_TWO, 1.3, _ON_RING, "palm"),
    "peace_inverted": Gesture(_TWO, 1.3, _ON_RING, "back"),
    "rock": Gesture((_OPEN, _FOLDED, _FOLDED, _OPEN), 0.4, _ON_MIDDLE),
    "stop": Gesture(_TOGETHER, 0.1, Thumb(10, 18, 6, 4, 0), "palm"),
    "stop_inverted": Gesture(_TOGETHER, 0.1, Thumb(10, 18, 6, 4, 0), "back"),
    "three": Gesture((_OPEN, _OPEN, _OPEN, _FOLDED), 1.0, Thumb(74, 9, 65, 55, -33)),
    "three2": Gesture(_TWO, 1.2, Thumb(12, -10, 0, -4, 0)),
    "two_up": Gesture((_FLAT, _FLAT, _FOLDED, _FOLDED), 0.05, _ON_RING, "palm"),
    "two_up_inverted": Gesture((_FLAT, _FLAT, _FOLDED, _FOLDED), 0.05, _ON_RING, "back"),
    "three3": Gesture((_FOLDED, _OPEN, _OPEN, _OPEN), 0.8, Thumb(50, -14, 40, 40, 2)),
    "little_finger": Gesture((_FOLDED, _FOLDED, _FOLDED, (5, 8, 5)), 0.3, _WRAPPED),
    "thumb_index": Gesture(_ONE, 0.2, Thumb(8, -10, 0, -4, 0)),
    "point": Gesture(_ONE, 0.1, _ON_MIDDLE, "back", 72),
    "gun": Gesture(_TWO, 0.05, Thumb(8, -8, 0, -5, 0), "back", 70),
    "grip": Gesture(((50, 55, 30), (52, 58, 30), (55, 60, 32), (56, 60, 32)), 0.1, Thumb(56, -14, 42, 6, -6)),
    "grabbing": Gesture(
        ((28, 48, 30), (28, 48, 30), (30, 48, 30), (32, 48, 30)), 1.2, Thumb(48, -6, 10, 30, 15), "palm"
    ),
    "claw": Gesture(((15, 60, 40), (15, 60, 40), (15, 60, 40), (15, 60, 40)), 0.9, Thumb(35, -4, 15, 35, 15)),
    "relaxed": Gesture(((22, 28, 15), (28, 32, 18), (32, 36, 20), (34, 36, 20)), 0.4, Thumb(28, 10, 10, 12, 15)),
}


def showing(face: str) -> tuple[str, ...]:
    """The gestures that may show this face of the hand: palm or back; all of them for any other word."""
    if face not in ("palm", "back"):
        return tuple(GESTURES)
    return tuple(name for name, gesture in GESTURES.items() if gesture.face in (face, "either"))
