"""Figures of hands, by hand and against pycocotools: judges that tell the truth, see nothing, or are a little off."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from support.judging import Blind, Truthful, asked, open_hand, seen, true_hand

from handfirst.training.data.procedural.sample import Sample
from handfirst.training.evaluate.judging.hands import HAND_SIGMAS, METRICS, hand_measures
from handfirst.training.evaluate.judging.held_out import held_out, render
from handfirst.training.evaluate.judging.judges import Judge
from handfirst.training.evaluate.judging.looks import HandLook, Look, look
from handfirst.training.evaluate.measure import figure

TRUE = open_hand(60, 60)  # in a square of 256


def values(looks: list[Look]) -> dict[str, float | None]:
    measures = hand_measures(looks)
    assert [measure.name for measure in measures] == list(METRICS)
    found = {m.name: figure(m.statistic, m.counts, np.arange(len(looks)), 0, 0) for m in measures}
    return {name: None if value is None else value.value for name, value in found.items()}


@pytest.fixture(scope="module")
def hand() -> Sample:
    return render(held_out(people=0, hands=1)[0], 0)


def judged(judge: Judge, sample: Sample) -> dict[str, float | None]:
    return values([look(judge, sample.rgb, sample, "hands")])


def test_a_judge_that_tells_the_truth(hand: Sample) -> None:
    found = judged(Truthful(hand), hand)
    assert (found["hand_found"], found["hand_pck"], found["side_right"], found["view_right"]) == (1, 1, 1, 1)
    assert found["hand_ap"] == pytest.approx(1)
    assert found["body_found"] is None
    assert found["face_found"] is None  # there is none to find


def test_a_judge_that_sees_nothing(hand: Sample) -> None:
    found = judged(Blind(), hand)
    assert (found["hand_found"], found["hand_pck"], found["hand_ap"]) == (0, 0, 0)
    assert {found[name] for name in ("fingers_right", "side_right", "view_right")} == {None}


def test_a_judge_that_is_off(hand: Sample) -> None:
    """The hand's box is 2/3 of the square: a tenth of it is 17.07 pixels."""
    near, far = judged(Truthful(hand, 17.0), hand), judged(Truthful(hand, 17.2), hand)
    assert (near["hand_pck"], far["hand_pck"]) == (1, 0)
    assert (near["side_right"], far["view_right"], far["hand_found"]) == (1, 1, 1)


def test_a_hand_is_measured_with_its_persons_area() -> None:
    """COCO-WholeBody's way: the box of all points of the person, in the pixels of the square; a lone hand's own box."""
    (person,), (lone,) = held_out(people=1, hands=0), held_out(people=0, hands=1)
    sample = render(person, 64)
    known = sample.keypoints[sample.keypoints[:, 2] > 0, :2].astype(float)
    for square in look(Blind(), sample.rgb, sample, "people").hands:
        hand = square.true[0]
        own = sample.keypoints[91:112] if hand.side == "left" else sample.keypoints[112:]
        scale = 256 / (2.2 * np.ptp(own[:, :2], axis=0).max())
        assert hand.area == pytest.approx(np.ptp(known, axis=0).prod() * scale**2, rel=1e-5)
    sample = render(lone, 0)
    (square,) = look(Blind(), sample.rgb, sample, "hands").hands
    assert square.true[0].area == pytest.approx(np.ptp(square.true[0].array(), axis=0).prod(), rel=1e-3)


def test_points_are_counted_one_by_one_and_missed_hands_as_wrong() -> None:
    """Box 80 px: 8 px are allowed. One of 21 points is 9 px off; the second hand was missed: 20 of 42."""
    points = TRUE.copy()
    points[8] += (9, 0)
    assert values([asked(TRUE, seen(points)), asked(TRUE)])["hand_pck"] == pytest.approx(20 / 42)


def test_precision_by_hand() -> None:
    """Every point d off with d^2 = 2 (2 sigma)^2 area ln(1/.72): OKS .72, a hit at .50 to .70, five of ten."""
    off = np.sqrt(2 * (2 * HAND_SIGMAS) ** 2 * 80 * 70 * np.log(1 / 0.72))
    shifted = TRUE + np.stack([off, np.zeros(21)], 1)
    assert values([asked(TRUE, seen(shifted))])["hand_ap"] == pytest.approx(0.5)


def test_the_surer_wrong_find_costs_half() -> None:
    """A stray hand first, the true one after it: precision 1/2 at every recall."""
    finds = seen(TRUE + 500, score=0.9), seen(TRUE, score=0.8)
    assert values([asked(TRUE, *finds)])["hand_ap"] == pytest.approx(0.5)


def test_sides_and_faces_of_hands() -> None:
    mirrored = TRUE * (-1, 1) + (2 * 100, 0)  # about the middle of the hand: palm becomes back
    looks = [
        asked(TRUE, seen(TRUE, "left"), face=True),
        asked(TRUE, seen(TRUE, "right"), face=True),
        asked(TRUE, seen(mirrored, "left"), face=False),
        asked(TRUE, seen(TRUE, None)),  # a judge that cannot tell: three are asked
    ]
    found = values(looks)
    assert found["side_right"] == pytest.approx(2 / 3)
    assert found["view_right"] == pytest.approx(3 / 4)
    assert found["face_found"] == pytest.approx(2 / 3)


def test_the_nearer_of_two_finds_is_the_one_that_was_asked_for() -> None:
    two = asked(TRUE, seen(TRUE + 30, "right", 0.95), seen(TRUE + 2, "left", 0.6))
    found = values([two])
    assert (found["hand_pck"], found["side_right"]) == (1, 1)


def random_look(rng: np.random.Generator) -> Look:
    hands = []
    for _ in range(int(rng.integers(1, 3))):
        true = [open_hand(*rng.uniform(0, 150, 2)) + rng.normal(0, 4, (21, 2)) for _ in range(int(rng.integers(1, 3)))]
        finds = [p + rng.normal(0, rng.choice([0.5, 2, 4, 30]), (21, 2)) for p in true if rng.uniform() < 0.8]
        scores = rng.permutation(np.linspace(0.1, 0.9, 200))[: len(finds)]
        hands.append(
            HandLook(
                true=tuple(true_hand(p) for p in true),
                seen=tuple(seen(p, "left", float(s)) for p, s in zip(finds, scores, strict=True)),
            )
        )
    return Look(hands=tuple(hands), face=None)


def test_precision_is_that_of_cocoeval() -> None:
    rng = np.random.default_rng(3)
    looks = [random_look(rng) for _ in range(30)]
    images, truths, finds = [], [], []
    for i, square in enumerate(hand for each in looks for hand in each.hands):
        images.append({"id": i + 1, "width": 256, "height": 256})
        for true in square.true:
            low, high = true.array().min(0), true.array().max(0)
            truths.append(
                {
                    "id": len(truths) + 1, "image_id": i + 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 21,
                    "area": float(np.prod(high - low)), "bbox": [*low, *(high - low)],
                    "keypoints": np.column_stack([true.array(), np.full(21, 2)]).ravel().tolist(),
                }
            )  # fmt: skip
        for find in square.seen:
            rows = np.column_stack([find.array(), np.ones(21)]).ravel().tolist()
            finds.append({"image_id": i + 1, "category_id": 1, "keypoints": rows, "score": find.score})
    truth = COCO()
    truth.dataset = {"images": images, "annotations": truths, "categories": [{"id": 1, "name": "hand"}], "info": {}}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(finds), "keypoints")
        evaluation.params.kpt_oks_sigmas = HAND_SIGMAS
        evaluation.params.maxDets = [20]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    reference = evaluation.eval["precision"][:, :, 0, 0, 0].mean()
    assert 0.1 < reference < 0.9
    assert values(looks)["hand_ap"] == pytest.approx(reference, abs=1e-9)


def test_a_neighbours_hand_is_the_neighbours() -> None:
    """Two hands in a square, one of them found: it counts for the one that it lies on."""
    wanted, other = (true_hand(open_hand(x, 60)) for x in (60, 190))
    found = seen(open_hand(190, 60))
    assert HandLook(true=(wanted, other), seen=(found,)).best() is None
    assert HandLook(true=(other, wanted), seen=(found,)).best() is found
    assert values([Look(hands=(HandLook(true=(wanted, other), seen=(found,)),), face=None)])["hand_found"] == 0
