"""The mean feature of a gesture: 63 numbers, x, y and z of 21 points (Hand1000, section 3.1).

As published: MediaPipe Hands on every picture, static, one hand at most, confidence .5; x and y are parts of the
picture's width and height, z is about as large, smaller is nearer, the wrist's is 0. True points do instead: their z
comes from their depths, through the palm's length, which is taken to be 9 cm; without depths it is 0. The published
programs add up whatever hand MediaPipe sees, left or right; so does this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.photo import enlarged, solutions
from handfirst.runtime.pose.topology import HANDS, SIDES, Side
from handfirst.training.data.example import Example
from handfirst.training.gestures.options import FeatureOptions

WRIST, MIDDLE = 0, 9
"""Ends of the palm's longest bone, in MediaPipe's order."""
PALM_CM = 9.0

Points = NDArray[np.float64]
"""[21, 3], as MediaPipe has them."""


def mean_feature(examples: Iterable[Example], options: FeatureOptions) -> tuple[NDArray[np.float32], int]:
    """g float32 [63], and of how many pictures it is the mean.

    Raises:
        UserError: an example of another gesture; no picture in which a whole hand is known or seen; no MediaPipe.
    """
    total, count = np.zeros((21, 3)), 0
    for points in _seen(examples, options.gesture) if options.points == "mediapipe" else _given(examples, options):
        total, count = total + (centred(points) if options.centred else points), count + 1
    if not count:
        how = "MediaPipe sees no hand in any of them" if options.points == "mediapipe" else "no whole hand is known"
        raise UserError(f"gesture {options.gesture}: expected pictures of its hand, but {how}; give others")
    return (total / count).reshape(-1).astype(np.float32), count


def _given(examples: Iterable[Example], options: FeatureOptions) -> Iterator[Points]:
    """The first hand that makes the gesture, where all of its points are known."""
    for example in examples:
        hands = (true_points(example, HANDS[side]) for side in sides_of(example, options.gesture))
        if (points := next((each for each in hands if each is not None), None)) is not None:
            yield points


def true_points(example: Example, hand: slice) -> Points | None:
    """An example's own; None where one is unknown."""
    rows = example.keypoints[hand].astype(np.float64)
    if not (rows[:, 2] > 0).all():
        return None
    points = np.concatenate([rows[:, :2] / len(example.rgb), np.zeros((21, 1))], 1)
    if example.point_depths is not None:
        depths = example.point_depths[hand].astype(np.float64)
        depths -= depths[WRIST]
        flat = float(np.hypot(*(points[MIDDLE] - points[WRIST])[:2]))
        across = max(PALM_CM**2 - depths[MIDDLE] ** 2, (PALM_CM / 4) ** 2) ** 0.5  # of the palm, as the camera sees it
        points[:, 2] = depths * flat / across
    return points


def _seen(examples: Iterable[Example], gesture: str) -> Iterator[Points]:
    """MediaPipe's, where it sees any."""
    hands = solutions().hands
    with hands.Hands(static_image_mode=True, max_num_hands=1, min_detection_confidence=0.5) as network:
        for example in examples:
            sides_of(example, gesture)
            found = network.process(enlarged(example.rgb)).multi_hand_landmarks
            if found:
                yield np.array([(p.x, p.y, p.z) for p in found[0].landmark])


def centred(points: Points) -> Points:
    """From the wrist, in lengths of the palm."""
    moved = points - points[WRIST]
    return np.asarray(moved / max(float(np.linalg.norm(moved[MIDDLE])), 1e-6))


def sides_of(example: Example, gesture: str) -> tuple[Side, ...]:
    """Which hands of an example make the gesture.

    Raises:
        UserError: none does.
    """
    said = example.attributes
    sides = tuple(side for side in SIDES if said.get(f"{side}_hand") == gesture)
    if not sides and said.get("gesture") == gesture:
        sides = tuple(side for side in SIDES if said.get("side") in (side, "both"))
    if not sides:
        shown = said.get("gesture") or ", ".join(said.get(f"{side}_hand", "?") for side in SIDES)
        raise UserError(
            f"{example.key}: expected pictures of the gesture {gesture} alone, got {shown[:60]}; render or prepare a "
            "data set of that gesture"
        )
    return sides
