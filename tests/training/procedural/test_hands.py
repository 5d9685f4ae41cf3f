"""Rendered hands: framed as crops, what each gesture shows, and where the points lie."""

import cv2
import numpy as np
import pytest
from support.rendered import HAND_SLOTS, SIZE, points_of, view_of

from handfirst.runtime.pose.crop import boxes_meet, hand_box
from handfirst.runtime.pose.view import View
from handfirst.training.data.procedural.caption import gesture_words
from handfirst.training.data.procedural.gestures import GESTURES
from handfirst.training.data.procedural.pairs import PAIRS
from handfirst.training.data.procedural.sample import (
    SIDES,
    Sample,
    sample_hand,
    sample_person,
    single_words,
)


def test_two_hands_in_one_crop() -> None:
    """Both are labelled and seen, the crop holds the box over both, and the runtime would crop them together."""
    for seed, pair in enumerate(PAIRS):
        sample = sample_hand(seed, SIZE, gesture=pair)
        assert (sample.attributes["side"], sample.attributes["gesture"]) == ("both", pair)
        assert sample.caption.startswith(f"two hands, {gesture_words(pair)}, ")
        assert {1, 2} <= set(np.unique(sample.hands)), pair
        left, right = points_of(sample, "left"), points_of(sample, "right")
        assert len(left) == len(right) == 21
        assert boxes_meet(hand_box(left.astype(float)), hand_box(right.astype(float))), pair
        points = np.concatenate([left, right])
        assert 0.9 <= SIZE / (1.5 * np.ptp(points, axis=0).max()) <= 1.12 + 1e-6
        person = sample_person(seed, SIZE, frame="bust", gestures=(pair, pair))
        assert f"both hands {gesture_words(pair)}" in person.caption
        ours = (points_of(person, side).astype(float) for side in SIDES)
        assert boxes_meet(*(hand_box(points) for points in ours)), pair
    with pytest.raises(ValueError, match="side both goes with"):
        sample_hand(0, SIZE, gesture="fist", side="both")


def test_how_often_two_hands_and_which_sides() -> None:
    """Drawn without rendering: the stream's first choices of 400 samples."""
    words = [_words_of(seed) for seed in range(400)]
    sides = [w["side"] for w in words]
    assert abs(sides.count("left") - sides.count("right")) < 3 * np.sqrt(400)
    assert len({w["gesture"] for w in words}) == len(GESTURES)


def _words_of(seed: int) -> dict[str, str]:
    return single_words(np.random.default_rng(seed), None, None, None)


@pytest.mark.parametrize(("gesture", "view"), [("stop", "palm"), ("stop_inverted", "back"), ("peace_inverted", "back")])
def test_a_gesture_shows_its_face(gesture: str, view: View) -> None:
    """The runtime, which knows the points alone, sees the face that the gesture names, or an edge."""
    seen = []
    for seed in range(8):
        sample = sample_hand(seed, 32, gesture=gesture, supersample=1)
        seen.append(view_of(sample, sample.attributes["side"]))
    assert set(seen) <= {view, "side"} and seen.count(view) >= 5
    person = sample_person(1, 32, frame="bust", gestures=(gesture, gesture))
    for side in SIDES:
        assert view_of(person, side) in (view, "side")


@pytest.mark.parametrize(("gesture", "sign"), [("like", -1.0), ("dislike", 1.0)])
def test_thumbs_point_up_and_down(gesture: str, sign: float) -> None:
    """Image y of the thumb's tip against its root, in crops and in people."""
    for seed in range(6):
        sample = sample_hand(seed, 32, gesture=gesture, supersample=1)
        points = [points_of(sample, sample.attributes["side"])]
        person = sample_person(seed, 64, frame="bust", gestures=(gesture, gesture), supersample=1)
        points += [points_of(person, side) for side in SIDES]
        for hand in points:
            assert np.sign(hand[4, 1] - hand[2, 1]) == sign


def test_only_the_shown_hand_is_labelled(hands: list[Sample]) -> None:
    for sample in hands:
        labelled = np.nonzero(sample.keypoints[:, 2])[0]
        slot = HAND_SLOTS[sample.attributes["side"]]
        assert list(labelled) == list(range(slot.start, slot.stop))


@pytest.mark.parametrize("gesture", ["palm", "peace", "fist", "call"])
def test_points_lie_on_the_hand(gesture: str) -> None:
    inside = []
    for seed in range(6):
        sample = sample_hand(seed, SIZE, gesture=gesture)
        grown = cv2.dilate((sample.hands > 0).astype(np.uint8), np.ones((7, 7), np.uint8))
        x, y = np.clip(points_of(sample, sample.attributes["side"]).astype(int), 0, SIZE - 1).T
        inside.append(grown[y, x].mean())
    assert np.mean(inside) >= 0.9


def test_the_forearm_is_person_but_not_hand() -> None:
    beyond = [
        s.person_mask.sum() - (s.hands > 0).sum() for s in (sample_hand(i, SIZE, gesture="fist") for i in range(8))
    ]
    assert np.mean(np.array(beyond) > 10) > 0.7


def test_a_hand_is_framed_as_a_crop() -> None:
    """The box of the 21 points fills 1 / 1.5 of the picture, within the jitter, about its middle."""
    for seed in range(12):
        sample = sample_hand(seed, SIZE, side=SIDES[seed % 2])
        points = points_of(sample, sample.attributes["side"])
        low, high = points.min(axis=0), points.max(axis=0)
        assert 0.9 <= SIZE / (1.5 * (high - low).max()) <= 1.12 + 1e-6
        assert np.abs((low + high) / 2 - SIZE / 2).max() <= 0.04 * SIZE + 1e-3


@pytest.mark.parametrize(("side", "sign"), [("right", 1.0), ("left", -1.0)])
def test_sides_by_geometry(side: str, sign: float) -> None:
    """With the palm to the viewer, going from the little finger to the index turns clockwise on a left hand."""
    for seed in range(5):
        sample = sample_hand(seed, SIZE, view="palm", gesture="palm", side=side)
        points = points_of(sample, side)
        up, across = points[9] - points[0], points[5] - points[17]
        assert np.sign(up[0] * across[1] - up[1] * across[0]) == sign
