"""Results of MediaPipe Tasks as people dump them: from a real run, in Python's and in JavaScript's names.

tasks_hands.json is json.dumps(dataclasses.asdict(result)) of HandLandmarker.detect (mediapipe 0.10.21, its networks
those that lie in the package) on a picture of 512 x 256: our renderer's right palm (sample_hand seed 2) at the left,
its left palm (seed 22) at the right. tasks_hands_flipped.json is the same for the flipped picture.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.read import parse_pose, read_pose

HERE = Path(__file__).parent
SIZE = (200, 100)
SHOWN = [0, 4, 8, 12, 16, 20]
# Wrist and finger tips as the renderer projected them.
RIGHT = [(74.2, 203.2), (193.0, 159.1), (137.2, 44.9), (99.4, 166.0), (76.5, 162.6), (56.0, 159.5)]
LEFT = [(338.6, 207.7), (294.0, 88.3), (399.6, 37.2), (446.2, 46.4), (469.2, 86.1), (473.8, 131.4)]


def dumped(name: str = "tasks_hands") -> dict[str, Any]:
    data: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text())
    return data


def assert_true(pose: Pose) -> None:
    """Every hand is where it was rendered, as far as MediaPipe is right, under its true side: 260 pixels apart."""
    (person,) = pose.people
    for hand, truth in ((person.right_hand, RIGHT), (person.left_hand, LEFT)):
        assert np.linalg.norm(hand[SHOWN] - truth, axis=1).max() < 20
    assert (person.scores[91:] == 1).all() and not person.scores[:91].any()


def test_a_real_run() -> None:
    assert_true(read_pose(HERE / "tasks_hands.json", (512, 256)))


def test_a_real_run_on_the_flipped_picture_is_flipped_back() -> None:
    assert_true(read_pose(HERE / "tasks_hands_flipped.json", (512, 256), mirrored=True))
    (person,) = read_pose(HERE / "tasks_hands_flipped.json", (512, 256)).people
    assert person.right_hand[0, 0] < 256 < person.left_hand[0, 0]  # without it, a picture of other hands


def browser(data: dict[str, Any], name: str, *handedness: str) -> dict[str, Any]:
    """The same as tasks-vision names it."""
    keys = {"score": "score", "index": "index", "category_name": "categoryName", "display_name": "displayName"}
    sides = [[{keys[key]: value for key, value in c.items()} for c in hand] for hand in data["handedness"]]
    found = [
        [{key: mark[key] for key in ("x", "y", "z", "visibility")} for mark in hand] for hand in data["hand_landmarks"]
    ]
    return {name: found, "worldLandmarks": data["hand_world_landmarks"], **dict.fromkeys(handedness, sides)}


@pytest.mark.parametrize(
    "names",
    [("landmarks", "handednesses", "handedness"), ("landmarks", "handednesses"), ("handLandmarks", "handedness")],
)
def test_javascript_names(names: tuple[str, ...]) -> None:
    assert_true(parse_pose(browser(dumped(), *names), (512, 256)))
    flipped = browser(dumped("tasks_hands_flipped"), *names)
    assert_true(parse_pose(flipped, (512, 256), mirrored=True))


def test_before_0_10_5_labels_were_those_of_a_mirror() -> None:
    """What google-ai-edge/mediapipe's commit ed0c8d8 (August 2023) swapped: the names of the two indices."""
    old = dumped()
    for (category,) in old["handedness"]:
        category["category_name"] = {"Left": "Right", "Right": "Left"}[category["category_name"]]
    assert_true(parse_pose(old, (512, 256)))


@pytest.mark.parametrize("index", [None, -1])
def test_without_an_index_labels_are_true(index: int | None) -> None:
    data = dumped()
    data["handedness"] = [[{"index": index, "category_name": c["category_name"]}] for (c,) in data["handedness"]]
    assert_true(parse_pose(data, (512, 256)))
    data["handedness"] = [c["category_name"] for (c,) in data["handedness"]]
    assert_true(parse_pose(data, (512, 256)))


def marks(count: int, shift: float = 0.0, visibility: float = 0.0) -> list[dict[str, float]]:
    """Landmark i at ((i + 1) / 1000 + shift, (i + 1) / 2000)."""
    return [
        {"x": (i + 1) / 1000 + shift, "y": (i + 1) / 2000, "z": 0.0, "visibility": visibility} for i in range(count)
    ]


def at(i: int, shift: float = 0.0) -> list[float]:
    return [((i + 1) / 1000 + shift) * 200, (i + 1) / 2000 * 100]


@pytest.mark.parametrize("name", ["pose_landmarks", "poseLandmarks", "landmarks"])
def test_several_people_of_pose_landmarker(name: str) -> None:
    found = {name: [marks(33, 0, 0.9), marks(33, 0.25, 0.9)], "segmentation_masks": None}
    first, second = parse_pose(found, SIZE).people
    np.testing.assert_allclose(first.points[5], at(11))
    np.testing.assert_allclose(second.points[6], at(12, 0.25))
    assert second.scores[6] == 0.9


def test_holistic_landmarker_lists_parts_in_javascript_and_does_not_in_python() -> None:
    python = {
        "face_landmarks": marks(478), "pose_landmarks": marks(33, 0, 0.9), "pose_world_landmarks": marks(33),
        "left_hand_landmarks": [], "right_hand_landmarks": marks(21, 0.5), "face_blendshapes": [],
    }  # fmt: skip
    javascript = {
        "faceLandmarks": [marks(478)], "poseLandmarks": [marks(33, 0, 0.9)], "leftHandLandmarks": [],
        "rightHandLandmarks": [marks(21, 0.5)], "faceBlendshapes": [],
    }  # fmt: skip
    for data in (python, javascript):
        (person,) = parse_pose(data, SIZE).people
        np.testing.assert_allclose(person.points[0], at(0))
        np.testing.assert_allclose(person.face[8], at(152))
        np.testing.assert_allclose(person.right_hand[20], at(20, 0.5))
        assert not person.has_hand("left")


def test_a_body_with_its_hands() -> None:
    (person,) = parse_pose({"pose_landmarks": [marks(33, 0, 0.9)], **dumped()}, (512, 256)).people
    np.testing.assert_allclose(person.points[0], [0.512, 0.128])
    assert np.linalg.norm(person.left_hand[SHOWN] - LEFT, axis=1).max() < 20


def test_nobody_and_one_hand() -> None:
    for empty in ({"hand_landmarks": [], "handedness": []}, {"landmarks": [], "handednesses": []}, {"landmarks": []}):
        assert parse_pose(empty, SIZE).people == ()
    data = dumped()
    one = {name: hands[:1] for name, hands in data.items()}
    (person,) = parse_pose(one, (512, 256)).people
    assert person.has_hand("right") and not person.has_hand("left")


def test_many_hands_are_paired_in_order() -> None:
    data = dumped()
    pose = parse_pose({name: [*hands, hands[1]] for name, hands in data.items()}, (512, 256))
    assert len(pose.people) == 2 and any("paired in its order" in line for line in pose.warnings)
    np.testing.assert_array_equal(pose.people[0].left_hand, pose.people[1].left_hand)


LEFT_LABEL = [[{"index": 1, "category_name": "Left"}]]
BAD = {
    "no handedness": ({"hand_landmarks": [marks(21)]}, "expected as many handedness as hand_landmarks"),
    "none in a browser": ({"landmarks": [marks(21)]}, "expected as many handedness as landmarks"),
    "one too few": (
        {"landmarks": [marks(21)] * 2, "handednesses": LEFT_LABEL},
        "expected as many handednesses as landmarks",
    ),
    "20 landmarks": (
        {"hand_landmarks": [marks(20)], "handedness": LEFT_LABEL}, "hand 1: expected 21 landmarks, got 20 landmarks",
    ),
    "20 in a browser": ({"landmarks": [marks(20)]}, "pose_landmarks: expected 33 landmarks, got 20 landmarks"),
    "32 of a body": ({"pose_landmarks": [marks(32), marks(32)]}, "expected 33 landmarks, got 32 landmarks"),
    "another side": (
        {"hand_landmarks": [marks(21)], "handedness": [[{"category_name": "Both"}]]}, '"Left" or "Right", got .Both',
    ),
    "no side": ({"hand_landmarks": [marks(21)], "handedness": [[]]}, '"Left" or "Right", got .None'),
    "who is whose": (
        {"pose_landmarks": [marks(33, 0, 1)] * 2, "hand_landmarks": [marks(21)], "handedness": LEFT_LABEL},
        "belong together is not in the file",
    ),
    "no coordinates": ({"hand_landmarks": [[{}] * 21], "handedness": LEFT_LABEL}, "hand 1: expected landmarks"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD.keys())
def test_one_clear_line(data: dict[str, Any], message: str) -> None:
    with pytest.raises(PoseError, match=message) as caught:
        parse_pose(data, SIZE)
    assert "\n" not in str(caught.value)


def test_bodies_are_not_flipped_back() -> None:
    for data in ({"landmarks": [marks(33)]}, {"pose_landmarks": [marks(33)], **dumped()}):
        with pytest.raises(PoseError, match="drop --mirrored"):
            parse_pose(data, SIZE, mirrored=True)
