"""Points that carry names or numbers: these tell which point is which, in whatever order they stand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.named_person import BODY_25, COCO_17, SIZE, TRUTH, WHOLE, flat

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.read import parse_pose

PARTS = {"eye": "eye", "ear": "ear", "sho": "shoulder", "elb": "elbow", "wri": "wrist", "hip": "hip", "kne": "knee",
         "ank": "ankle", "big": "big_toe", "small": "small_toe", "heel": "heel"}  # fmt: skip
SIDES = {"l": "left", "r": "right"}
HAND = ["wrist", *(f"thumb_{joint}" for joint in ("cmc", "mcp", "ip", "tip")),
        *(f"{finger}_finger_{joint}" for finger in ("index", "middle", "ring", "pinky")
          for joint in ("mcp", "pip", "dip", "tip"))]  # fmt: skip
MMPOSE_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
MMPOSE_HAND = ["left_hand_root", *(f"left_{finger}{k}" for finger in MMPOSE_FINGERS for k in (1, 2, 3, 4))]


def snake(short: str) -> str:
    """TensorFlow.js's and MMPose's."""
    return short if short in ("nose", "neck") else f"{SIDES[short[0]]}_{PARTS[short[1:]]}"


def camel(short: str) -> str:
    """PoseNet's."""
    first, *rest = snake(short).split("_")
    return first + "".join(word.title() for word in rest)


def initial(short: str) -> str:
    """OpenPose's: RShoulder, LBigToe, Neck."""
    if short in ("nose", "neck", "midhip"):
        return {"nose": "Nose", "neck": "Neck", "midhip": "MidHip"}[short]
    return short[0].upper() + PARTS[short[1:]].title().replace("_", "")


def people(names: list[str], spelt: Any, order: list[int], field: str = "name") -> list[dict[str, Any]]:
    points = [{"x": TRUTH[name][0], "y": TRUTH[name][1], "score": 0.9, field: spelt(name)} for name in names]
    return [{"keypoints": [points[i] for i in order]}]


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(17)), st.sampled_from([snake, camel, initial]), st.sampled_from(["name", "part", "id"]))
def test_names_tell_the_order(order: list[int], spelt: Any, field: str) -> None:
    (person,) = parse_pose(people(COCO_17, spelt, order, field), SIZE).people
    np.testing.assert_array_equal(person.body, WHOLE[:17])


def test_the_names_of_openpose_and_of_a_few_points() -> None:
    (person,) = parse_pose(people(BODY_25, initial, list(range(25))[::-1]), SIZE).people
    np.testing.assert_array_equal(person.points[:23], WHOLE[:23])
    data = {"people": [{"pose_keypoints_2d": people(BODY_25, initial, list(range(25))[::-1])[0]["keypoints"]}]}
    np.testing.assert_array_equal(parse_pose(data, SIZE).people[0].points[:23], WHOLE[:23])
    (person,) = parse_pose(people(COCO_17, snake, [9, 5, 7]), SIZE).people
    assert np.flatnonzero(person.scores).tolist() == [5, 7, 9]
    np.testing.assert_array_equal(person.points[[5, 7, 9]], WHOLE[[5, 7, 9]])


@pytest.mark.parametrize("names", [HAND, MMPOSE_HAND])
def test_hands_in_the_order_of_their_names(names: list[str]) -> None:
    points = [{"x": x, "y": y, "name": name} for (x, y), name in zip(TRUTH["left"].tolist(), names, strict=True)]
    for data in ([{"keypoints": points[::-1], "side": "left"}], {"lefthand_kpts": points[::-1]}):
        np.testing.assert_array_equal(parse_pose(data, SIZE).people[0].left_hand, TRUTH["left"])
    with pytest.raises(PoseError, match="hand 1: the points' names are not in the usual order"):
        parse_pose([{"keypoints": [points[0] | {"name": "tail"}, *points[:0:-1]], "side": "left"}], SIZE)


@pytest.mark.parametrize("first", [0, 1])
def test_numbers_tell_the_order(first: int) -> None:
    data = people(COCO_17, snake, list(range(17)))
    for i, point in enumerate(data[0]["keypoints"]):
        point.pop("name")
        point["id"] = i + first
    data[0]["keypoints"].reverse()
    np.testing.assert_array_equal(parse_pose(data, SIZE).people[0].body, WHOLE[:17])


def test_names_that_contradict_the_order_and_tell_no_other() -> None:
    backwards = people(COCO_17, snake, list(range(17))[::-1])
    unknown, twice = copy.deepcopy(backwards), copy.deepcopy(backwards)
    unknown[0]["keypoints"][2]["name"] = "tail"
    twice[0]["keypoints"][2]["name"] = "nose"
    for data, reason in ((unknown, "'tail' is unknown"), (twice, "one stands twice")):
        with pytest.raises(PoseError, match=f"keypoints: the points' names are not in the usual order .*{reason}"):
            parse_pose(data, SIZE)


def test_unknown_names_are_told() -> None:
    pose = parse_pose(people(COCO_17, lambda name: f"point of {name}", list(range(17))), SIZE)
    np.testing.assert_array_equal(pose.people[0].body, WHOLE[:17])
    assert (
        pose.warnings[0]
        == "annotation 1, keypoints: the points' names are unknown, and so they are read in their order"
    )


def test_names_that_a_file_says_elsewhere() -> None:
    """COCO's categories and MMPose's description of the data set."""
    order = COCO_17[::-1]
    points = [TRUTH[name] for name in order]
    coco = {
        "images": [{"id": 3, "width": 640, "height": 480}],
        "annotations": [{"image_id": 3, "category_id": 1, "keypoints": flat(points, 2)}],
        "categories": [{"id": 1, "keypoints": [snake(name) for name in order]}, {"id": 2, "keypoints": ["tail"]}],
    }
    mmpose = {
        "meta_info": {"keypoint_id2name": {str(i): snake(name) for i, name in enumerate(order)}},
        "instance_info": [{"frame_id": 1, "instances": [{"keypoints": np.array(points).tolist()}]}],
    }
    for data in (coco, mmpose):
        np.testing.assert_array_equal(parse_pose(data, SIZE).people[0].body, WHOLE[:17])
