"""Which crops a picture's hands are drawn in: one each, or one for two that meet (decision A6.16 of the specification).

One person's hands share a crop where the boxes of their points meet, as they do in training. A left and a right hand of
two people share one where the boxes overlap by more than MEETING of the smaller box; a crop has no room for two left or
two right ones, which stay apart and share their pixels (overlap.py). Knows nothing about conditions or networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.crop import HandCrop, hand_box, hand_crops
from handfirst.runtime.pose.person import Person, Points, Pose
from handfirst.runtime.pose.topology import HAND_EDGES, HANDS, SIDES, Side
from handfirst.runtime.systems.two_stage.request import Request, hand_name
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings

MEETING = 0.1
"""Share of the smaller box that two people's hands must have in common. Boxes that have less share their empty corners,
as a rule, and hands that are drawn alone are drawn larger."""


@dataclass(frozen=True, eq=False)
class Found:
    """A crop, and whose hands it holds.

    Attributes:
        person: index in the pose; of the left hand's owner where two people share the crop.
        partner: index of the right hand's owner where that is another; else None.
        hands: has the crop's hands; the person, or, where two share it, somebody who has nothing else.
        crop: where it is.
    """

    person: int
    partner: int | None
    hands: Person
    crop: HandCrop

    @property
    def name(self) -> str:
        """Of this part of the picture."""
        return hand_name(self.person, self.crop, self.partner)

    @property
    def bones(self) -> NDArray[np.float64]:
        """Ends of the bones that are known of its hands, float64 [N, 2, 2] in canvas pixels."""
        ends = np.concatenate([self.hands.hand(side)[list(HAND_EDGES)] for side in self.crop.sides])
        known: NDArray[np.float64] = ends[np.isfinite(ends).all((1, 2))]
        return known


def find_crops(request: Request, settings: TwoStageSettings) -> list[Found]:
    """The crops of a resolved request that overlap its canvas, person by person, left before right."""
    pose, shape = request.pose, settings.hand
    if request.close_up != "off":  # a hand fills its crop, however small it is
        floor = settings.latent.factor / min(pose.width, pose.height)
        shape = shape.model_copy(update={"min_side": floor})
    found = [
        Found(i, None, person, crop)
        for i, person in enumerate(pose.people)
        for crop in hand_crops(person, shape, pose.width, pose.height)
    ]
    shared: dict[Found, Found] = {}
    for left, right in _meeting(found, ("left",), ("right",)):
        if left not in shared and right not in shared:
            both = _only(left.hands, right.hands)
            (crop,) = hand_crops(both, shape, pose.width, pose.height)
            shared[left] = shared[right] = Found(left.person, right.person, both, crop)
    crops = dict.fromkeys(shared.get(each, each) for each in found)  # a shared one where the first of its hands was
    return [each for each in crops if _on_canvas(each.crop, pose)]


def crop_warnings(found: Sequence[Found]) -> list[str]:
    """A line for every two hands that meet and cannot share a crop."""
    lines = []
    for side in SIDES:
        for a, b in _meeting(found, (side,), (side,)):
            if a.person < b.person:
                lines.append(
                    f"{a.name} and {b.name} overlap: two {side} hands have no crop together, so they are drawn apart, "
                    "the second in front"
                )
    return lines


def _meeting(found: Sequence[Found], one: tuple[Side, ...], other: tuple[Side, ...]) -> list[tuple[Found, Found]]:
    """Crops of two people that hold these sides and overlap by more than MEETING, those that overlap most first."""
    pairs = [
        (share, a, b)
        for a in found
        for b in found
        if (a.crop.sides, b.crop.sides) == (one, other)
        and a.person != b.person
        and (share := overlap(a.hands.hand(one[0]), b.hands.hand(other[0]))) > MEETING
    ]
    return [(a, b) for _, a, b in sorted(pairs, key=lambda pair: -pair[0])]


def overlap(a: Points, b: Points) -> float:
    """What the boxes of two hands [21, 2] have in common, as a share of the smaller one's area, 0 .. 1."""
    (low_a, high_a), (low_b, high_b) = hand_box(a).reshape(2, 2), hand_box(b).reshape(2, 2)
    common = np.clip(np.minimum(high_a, high_b) - np.maximum(low_a, low_b), 0, None).prod()
    smaller = min((high_a - low_a).prod(), (high_b - low_b).prod())
    return float(common / smaller) if smaller > 0 else 0.0


def _only(left: Person, right: Person) -> Person:
    """Somebody who has the left hand of one and the right hand of the other, and nothing else."""
    points, scores = np.full_like(left.points, np.nan), np.zeros_like(left.scores)
    for side, owner in zip(SIDES, (left, right), strict=True):
        points[HANDS[side]], scores[HANDS[side]] = owner.points[HANDS[side]], owner.scores[HANDS[side]]
    return Person(points, scores)


def _on_canvas(crop: HandCrop, pose: Pose) -> bool:
    """Whether the crop's square and the canvas overlap."""
    corners = crop.similarity.inverse().apply(np.array([[0.0, 0.0], [crop.size, crop.size]]))
    return bool((corners[0] < (pose.width, pose.height)).all() and (corners[1] > 0).all())
