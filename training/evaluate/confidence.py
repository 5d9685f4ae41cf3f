"""How sure a detector is that hands are hands: Hand1000's and RealisHuman's figures, with what those leave out.

Both take the mean over what was found, so that a hand too bad to be found does no harm; the share that was found
stands beside each. Knows nothing about detectors.
"""

from __future__ import annotations

from collections.abc import Sequence

from handfirst.training.evaluate.detections import Found
from handfirst.training.evaluate.measure import Measure, mean_of

SURE = 0.9
"""Annotated Hands counts hands at or above this."""


def hand_confidence(found: Sequence[Found]) -> list[Measure]:
    """Hand1000: the mean score over all hands of all whole pictures [Hand1000: hand_confidence.py]."""
    scores = [[hand.score for hand in picture.hands] for picture in found]
    sure = [[score >= SURE for score in row] for row in scores]
    there = [[float(bool(row))] for row in scores]
    return [
        mean_of("hand_conf", "HAND-CONF (Hand1000)", "higher", scores),
        mean_of("hand_conf_sure", f"hands at {SURE:g} or above", "higher", sure),
        mean_of("hand_conf_found", "pictures with a hand found", "higher", there),
    ]


def part_confidence(found: Sequence[Found]) -> list[Measure]:
    """RealisHuman: the mean score over crops of hands, and over crops of faces."""
    out = []
    for kind in ("hand", "face"):
        scores = [[p.score for p in picture.parts if p.part.endswith(kind)] for picture in found]
        sure = [[s for s in row if s is not None] for row in scores]
        there = [[float(s is not None) for s in row] for row in scores]
        out.append(mean_of(f"det_conf_{kind}", f"Det.Conf {kind} (RealisHuman)", "higher", sure))
        out.append(mean_of(f"det_conf_{kind}_found", f"{kind} crops with a {kind} found", "higher", there))
    return out
