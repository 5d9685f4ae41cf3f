"""What a judge's looks say of a set of pictures: hands and faces found, points in place, fingers, sides and faces.

Shares of found hands (fingers, side, palm or back) are silent about those that were not found: `hand_found` stands
first in every table. Knows nothing about pictures or judges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from handfirst.runtime.pose.topology import LEFT_HAND
from handfirst.runtime.pose.view import hand_view
from handfirst.training.evaluate.average_precision import SIGMAS, average_precision, match, oks
from handfirst.training.evaluate.judging.fingers import five_fingers
from handfirst.training.evaluate.judging.judges import Points, SeenHand
from handfirst.training.evaluate.judging.looks import HandLook, Look, TrueHand
from handfirst.training.evaluate.measure import Measure, Weights, mean_of

PCK = 0.1  # of the longer side of the true hand's box
HAND_SIGMAS = SIGMAS[LEFT_HAND]  # COCO-WholeBody gives both hands the same
METRICS = ("hand_found", "hand_pck", "hand_ap", "fingers_right", "side_right", "view_right", "face_found", "body_found")


def hand_measures(looks: Sequence[Look]) -> list[Measure]:
    """METRICS in their order, over N pictures; one that has nothing to measure counts nothing."""

    def of_found(value: Callable[[TrueHand, SeenHand], float | None]) -> list[list[float]]:
        pairs = [[(hand.true[0], best) for hand in look.hands if (best := hand.best())] for look in looks]
        values = [[value(true, best) for true, best in row] for row in pairs]
        return [[v for v in row if v is not None] for row in values]

    found = [[float(hand.best() is not None) for hand in look.hands] for look in looks]
    return [
        mean_of("hand_found", "hands found", "higher", found),
        mean_of("hand_pck", f"PCK@{PCK:g} of the hand's box", "higher", [_in_place(look) for look in looks]),
        _precision(looks),
        mean_of("fingers_right", "five fingers, of hands found", "higher", of_found(_fingers)),
        mean_of("side_right", "left or right as asked, of hands found", "higher", of_found(_side)),
        mean_of("view_right", "palm or back as asked, of hands found", "higher", of_found(_view)),
        mean_of("face_found", "faces found", "higher", [[] if k.face is None else [float(k.face)] for k in looks]),
        mean_of("body_found", "bodies found", "higher", [[] if k.body is None else [float(k.body)] for k in looks]),
    ]


def _in_place(look: Look) -> list[float]:
    """One value a point: whether it lies within PCK of its place; all points of a hand that was missed are wrong."""
    out: list[float] = []
    for hand in look.hands:
        best = hand.best()
        out += [0.0] * 21 if best is None else points_in_place(best.array(), hand.true[0].array()).tolist()
    return out


def points_in_place(found: Points, true: Points) -> Points:
    """found, true [21, 2] -> 1 or 0, [21]."""
    reach = PCK * float(np.ptp(true, 0).max())
    return np.asarray(np.linalg.norm(found - true, axis=1) <= reach, np.float64)


def _precision(looks: Sequence[Look]) -> Measure:
    """COCO's AP of 21 points: each square is an image with its true hands.

    Of people's hands with the person's area, as COCO-WholeBody has it; of a hand alone with its own box's, which asks
    for far more: figures of the two sets are not to be compared.
    """
    squares = [(i, hand) for i, look in enumerate(looks) for hand in look.hands]
    matches = match(
        [square_similarity(hand) for _, hand in squares],
        [np.array([seen.score for seen in hand.seen]) for _, hand in squares],
    )
    owner = np.array([i for i, _ in squares], np.int64)
    counts = np.bincount(owner, weights=matches.truths, minlength=len(looks)).astype(np.int64)

    def precision(weights: Weights) -> float:
        return float(average_precision(matches, weights[owner]).mean()) if len(owner) else float("nan")

    return Measure("hand_ap", "AP of hands", "higher", precision, counts)


def square_similarity(hand: HandLook) -> Points:
    """OKS of the seen hands with the true ones, [D, G]."""
    true = np.stack([each.array() for each in hand.true])
    seen = np.stack([each.array() for each in hand.seen]) if hand.seen else np.zeros((0, 21, 2))
    return oks(seen, true, np.array([each.area for each in hand.true]), HAND_SIGMAS)


def _fingers(_: TrueHand, seen: SeenHand) -> float:
    return float(five_fingers(seen.array()))


def _side(true: TrueHand, seen: SeenHand) -> float | None:
    return None if seen.side is None else float(seen.side == true.side)


def _view(true: TrueHand, seen: SeenHand) -> float | None:
    """Read as hands of the true side, so that this is about the points alone; hands seen edge-on are not asked."""
    asked = hand_view(true.array(), true.side)
    return None if asked == "side" else float(hand_view(seen.array(), true.side) == asked)
