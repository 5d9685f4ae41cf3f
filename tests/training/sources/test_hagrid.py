"""HaGRID's own questions: which hand is the left one, which landmarks belong to which box."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dataset_truth import LEFT, RIGHT, boxes, hand, person, save
from support.datasets import write_hagrid

from handfirst.runtime.pose.topology import HANDS, Side
from handfirst.training.data.record import Record, Skipped
from handfirst.training.data.sources.hagrid import facing_side, sides_of
from handfirst.training.data.sources.opening import open_source

SIZE = 96
ONE = np.array([[0.6, 0.1, 0.2, 0.3]])
TWO = np.array([[0.1, 0.1, 0.2, 0.3], [0.6, 0.1, 0.2, 0.3]])


def read_one(folder: Path, entry: dict[str, Any], picture: np.ndarray) -> Record | Skipped:
    """One picture with one annotation, of the gesture "like"."""
    save(folder / "hagrid_dataset/like/a.jpg", picture)
    path = folder / "annotations/train/like.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"a": entry}))
    (only,) = open_source("hagrid", folder)
    return only


def landmarks(points: np.ndarray) -> list[list[float]]:
    return (points[:, :2] / SIZE).astype(float).tolist()


@pytest.mark.parametrize(
    ("where", "labels", "leading", "expected"),
    [
        (TWO, ["no_gesture", "one"], "left", (["right", "left"], "leading_hand")),
        (TWO, ["one", "no_gesture"], "left", (["left", "right"], "leading_hand")),  # crossed arms
        (ONE, ["no_gesture"], "left", (["right"], "leading_hand")),
        (TWO, ["one", "one"], "left", (["right", "left"], "order")),  # both show it: it says nothing
        (TWO, ["no_gesture", "one"], None, (["right", "left"], "order")),
        (TWO[::-1], ["xsign", "xsign"], None, (["left", "right"], "order")),
        (ONE, ["fist"], None, (["left"], "position")),
        (1 - ONE, ["fist"], None, (["left"], "position")),
        (ONE - [[0.5, 0, 0, 0]], ["like"], None, (["right"], "position")),
    ],
)
def test_rules(where: np.ndarray, labels: list[str], leading: Side | None, expected: tuple[list[str], str]) -> None:
    assert sides_of(where, labels, leading, np.zeros((21, 2))) == expected


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("seed", range(6))
def test_a_palm_tells_its_side(side: Side, seed: int) -> None:
    points = hand(seed, SIZE, side=side, gesture="palm").keypoints[HANDS[side], :2].astype(float)
    other: Side = "right" if side == "left" else "left"
    mirrored = points * (-1, 1) + (SIZE, 0)
    assert facing_side(points, "palm") == side
    assert facing_side(mirrored, "palm") == other
    assert facing_side(points, "peace_inverted") == other  # the back of the other hand looks the same
    assert facing_side(points, "fist") is None
    assert facing_side(points * (1e-3, 1), "palm") is None  # edge-on


def test_the_hand_without_landmarks_still_places_the_other_one(tmp_path: Path) -> None:
    sample = person(3, SIZE)
    entry = {"bboxes": boxes(sample), "labels": ["like", "no_gesture"]}
    record = read_one(tmp_path, entry | {"hand_landmarks": [[], landmarks(sample.keypoints[RIGHT])]}, sample.rgb)
    assert isinstance(record, Record)
    assert (record.people[0, RIGHT, 2] == 1).all() and not record.people[0, LEFT].any()
    assert record.attributes["side"] == "right" and record.attributes["side_from"] == "order"
    assert record.attributes["left_hand"] == "like" and record.attributes["right_hand"] == "no_gesture"


def test_of_two_finds_of_one_hand_the_better_one_is_kept(tmp_path: Path) -> None:
    sample = hand(5, SIZE, side="left")
    good = landmarks(sample.keypoints[LEFT])
    rectangle = boxes(sample)[0]
    torn = [[x + rectangle[2] * 0.2, y] for x, y in good]
    entry = {"bboxes": [rectangle], "labels": ["like"], "leading_hand": "left", "leading_conf": 0.9}
    assert isinstance(read_one(tmp_path, entry | {"landmarks": [torn]}, sample.rgb), Record)  # alone it would do
    for order in ([torn, good], [good, torn]):
        record = read_one(tmp_path, entry | {"landmarks": order}, sample.rgb)
        assert isinstance(record, Record)
        np.testing.assert_allclose(record.people[0, LEFT, :2], sample.keypoints[LEFT, :2], atol=1e-3)
        assert record.attributes["side_from"] == "leading_hand"


def test_an_unsure_leading_hand_is_not_believed(tmp_path: Path) -> None:
    sample = hand(5, SIZE, side="left")
    entry = {"bboxes": [boxes(sample)[0]], "labels": ["like"], "leading_hand": "left", "leading_conf": 0.3}
    record = read_one(tmp_path, entry | {"landmarks": [landmarks(sample.keypoints[LEFT])]}, sample.rgb)
    assert isinstance(record, Record) and record.attributes["side_from"] == "position"


def test_annotations_without_landmarks_leave_the_hands_to_be_found(tmp_path: Path) -> None:
    entry = {"bboxes": ONE.tolist(), "labels": ["like"], "user_id": "u", "meta": {"age": [30.5], "race": ["a", "b"]}}
    record = read_one(tmp_path, entry, np.zeros((20, 30, 3), np.uint8))
    assert isinstance(record, Record) and record.people.shape == (0, 133, 3)
    assert record.attributes == {"gesture": "like", "user": "u", "meta_age": "30.5"}


def test_landmarks_are_parts_of_width_and_height(tmp_path: Path) -> None:
    points = [[0.61 + 0.005 * j, 0.15 + 0.01 * j] for j in range(21)]
    entry = {"bboxes": ONE.tolist(), "labels": ["like"], "hand_landmarks": [points]}
    record = read_one(tmp_path, entry, np.zeros((50, 200, 3), np.uint8))
    assert isinstance(record, Record)
    np.testing.assert_allclose(record.people[0, LEFT, :2], np.array(points) * (200, 50), rtol=1e-6)


def test_three_boxes_are_more_than_one_person(tmp_path: Path) -> None:
    entry = {"bboxes": [*TWO.tolist(), *ONE.tolist()], "labels": ["like"] * 3, "hand_landmarks": [[[0.7, 0.2]] * 21]}
    skipped = read_one(tmp_path, entry, np.zeros((8, 8, 3), np.uint8))
    assert isinstance(skipped, Skipped) and skipped.reason == "more than two hands"


def test_splits_are_those_asked_for(tmp_path: Path) -> None:
    write_hagrid(tmp_path, count=6)
    every = [r.split for r in open_source("hagrid", tmp_path) if isinstance(r, Record)]
    tests = [r.split for r in open_source("hagrid", tmp_path, splits=["test"]) if isinstance(r, Record)]
    assert sorted(set(every)) == ["test", "train"] and len(every) == 6
    assert tests == ["test"] * every.count("test") and tests
