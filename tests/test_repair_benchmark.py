"""benchmarks/repair.py on hands whose answers are known: places, colours, and what counts as worse."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import repair
import repair_pictures
from repair_pictures import BARE, Hand

from handfirst.runtime.geometry import warp
from handfirst.runtime.pose.crop import UsualCrop, hand_crops
from handfirst.training.evaluate.judging.judges import SeenHand
from handfirst.training.evaluate.judging.looks import HandLook, Look, TrueHand


@pytest.fixture(scope="module")
def hand() -> Hand:
    """One whose wrist is bare."""
    return Hand("correct", 5)


def test_spoilt_hands_are_those_that_show_it(tmp_path: Path) -> None:
    (tmp_path / "spoilt.json").write_text("[0, 3]")
    assert [each.number for each in repair_pictures.chosen("spoilt", 1, tmp_path)] == [0]
    assert [each.number for each in repair_pictures.chosen("spoilt", 3, tmp_path)] == [0, 3, 4]
    assert (tmp_path / "spoilt.json").read_text() == "[0, 3, 4]"


def around(hand: Hand) -> np.ndarray:
    return cv2.dilate(hand.true.hands, np.ones((9, 9))) > 0


def test_a_spoilt_photo_differs_by_its_faults_alone() -> None:
    spoilt, correct = Hand("spoilt", 0), Hand("correct", 0)
    assert spoilt.faults.words and spoilt.true.other is not None
    assert np.array_equal(spoilt.true.keypoints, spoilt.true.other.keypoints)
    far = cv2.dilate(spoilt.true.hands | spoilt.true.other.hands, np.ones((25, 25))) == 0
    assert far.any() and np.abs(spoilt.photo.astype(int) - spoilt.true.rgb)[far].mean() < 1
    assert spoilt.shows and not Hand("spoilt", 5).shows  # a finger that is missing behind the others
    assert (spoilt.photo != spoilt.true.rgb).any() and np.array_equal(correct.photo, correct.true.rgb)


@dataclass
class Flat:
    """A two-stage model whose hands are green wherever the truth has a hand."""

    hand: Hand
    settings = SimpleNamespace(body=SimpleNamespace(width=192, height=192))

    def first_half(self, requests):
        (request,) = requests
        (crop,) = hand_crops(request.pose.fit(192, 192).people[0], UsualCrop(size=96), 192, 192)
        seen = np.kron(self.hand.true.hands > 0, np.ones((3, 3), bool))[::2, ::2]  # 128 pixels -> 192
        mask = warp(seen, crop.similarity.inverse(), 96, 96) >= 0.5
        drawn = SimpleNamespace(image=np.full((96, 96, 3), (0, 255, 0), np.uint8), mask=mask, crop=crop)
        return SimpleNamespace(hands=[[drawn]])


def test_a_two_stage_hand_lies_where_the_true_one_does(hand: Hand) -> None:
    pasted = repair_pictures.two_stage_hand(Flat(hand), hand)
    assert pasted is not None and repair_pictures.two_stage_hand(None, hand) is None
    green, true = (pasted == (0, 255, 0)).all(2), hand.true.hands > 0
    assert (green & true).sum() / (green | true).sum() > 0.85
    assert np.array_equal(pasted[~cv2.dilate(true.astype(np.uint8), np.ones((7, 7))).astype(bool)],
                          hand.photo[~cv2.dilate(true.astype(np.uint8), np.ones((7, 7))).astype(bool)])  # fmt: skip


def test_skin_is_as_far_from_the_wrist_as_it_is_moved(hand: Hand) -> None:
    """All of the hand of one colour, at a known place in Lab; the wrist's own is measured by hand."""
    changed = around(hand)
    disc = repair_pictures.wrist(hand, changed)
    assert disc is not None and not (disc & changed).any()
    own = repair_pictures.skin_distance(hand.true.rgb, hand, changed)
    assert own is not None and 0 <= own <= BARE
    painted = hand.true.rgb.copy()
    painted[hand.true.hands > 0] = (128, 128, 128)  # L 53.6, a and b 0
    lab = cv2.cvtColor(hand.true.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[disc].mean(0)
    found = repair_pictures.skin_distance(painted, hand, changed)
    assert found == pytest.approx(float(np.linalg.norm(lab - (53.585, 0, 0))), abs=0.05)


def looked(shift: float | None) -> Look:
    """A hand of a box of 100 pixels, seen that many pixels away, or not at all."""
    true = [(float(i * 5), float(i * 3)) for i in range(21)]
    seen = () if shift is None else (SeenHand(score=0.75, side="left", points=tuple((x + shift, y) for x, y in true)),)
    return Look(hands=(HandLook(true=(TrueHand(side="left", points=tuple(true), area=1.0),), seen=seen),), face=None)


def test_what_counts_as_right_and_as_worse() -> None:
    before = [looked(0), looked(0), looked(None), looked(30), looked(9)]
    after = [looked(None), looked(11), looked(0), looked(30), looked(9.9)]
    every = np.ones(5)
    figures = {measure.name: measure.statistic(every) for measure in repair.measures(before)}
    assert figures["hand_found"] == pytest.approx(4 / 5) and figures["error_below_0.1"] == pytest.approx(3 / 5)
    assert figures["confidence"] == pytest.approx(0.75 * 4 / 5)
    assert repair.got_worse(before, after).statistic(every) == pytest.approx(2 / 5)
    (gain,) = [repair.gain(a, b) for a, b in zip(repair.measures(after), repair.measures(before), strict=True)
               if a.name == "error_below_0.1"]  # fmt: skip
    assert gain is not None and gain["value"] == pytest.approx(2 / 5 - 3 / 5) and gain["low"] <= gain["value"]
