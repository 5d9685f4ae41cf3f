"""Units are judged by the part and by most of its points; a gap is a gap in every format."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.named_person import BODY_18, CANVAS, SIZE, TRUTH, WHOLE, coco, openpose

from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.read import parse_pose

PARTS = ("pose_keypoints_2d", "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d")


def scaled(data: dict[str, Any], parts: dict[str, float], shift: float = 0.0) -> dict[str, Any]:
    """Fractions of SIZE in the named parts, x -> times * x / width + shift, missing points as they were."""
    data = copy.deepcopy(data)
    for person in data["people"]:
        for part, times in parts.items():
            rows = np.array(person[part]).reshape(-1, 3)
            known = rows[:, 2] > 0
            rows[known, :2] = rows[known, :2] / SIZE * times + shift
            person[part] = rows.ravel().tolist()
    return data


def plain() -> dict[str, Any]:
    return openpose(BODY_18, **CANVAS)


def assert_true(pose: Pose, tolerance: float = 1e-9) -> None:
    (person,) = pose.people
    expected = WHOLE.copy()
    expected[17:23] = np.nan  # 18 points have no feet
    assert (pose.width, pose.height) == SIZE
    np.testing.assert_allclose(person.points, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("canvas", [True, False], ids=["with a canvas", "with --size"])
@pytest.mark.parametrize("part", PARTS)
def test_one_point_outside_the_canvas_says_nothing(part: str, canvas: bool) -> None:
    data = scaled(plain(), dict.fromkeys(PARTS, 1.0))
    data["people"][0][part][0:2] = [1.06, 0.4]
    if not canvas:
        del data["canvas_width"], data["canvas_height"]
    pose = parse_pose(data, None if canvas else SIZE)
    place = {"pose": 0, "face": 23, "hand_left": 91, "hand_right": 112}[part.split("_keypoints")[0]]
    np.testing.assert_allclose(pose.people[0].points[place], [1.06 * 640, 0.4 * 480])
    pose.people[0].points[place] = WHOLE[place]
    assert_true(pose)
    assert "the person has 1 points outside the 640 x 480 canvas" in pose.warnings


@pytest.mark.parametrize("pixels", PARTS)
def test_parts_of_different_units(pixels: str) -> None:
    data = scaled(plain(), {part: 1.0 for part in PARTS if part != pixels})
    pose = parse_pose(data)
    assert_true(pose)
    assert any("some parts are in fractions" in line for line in pose.warnings)


@pytest.mark.parametrize("canvas", [True, False], ids=["with a canvas", "with --size"])
def test_from_minus_one_to_one(canvas: bool) -> None:
    """OpenPose's keypoint_scale 4: x -> 2 x / width - 1."""
    data = scaled(plain(), dict.fromkeys(PARTS, 2.0), -1.0)
    if not canvas:
        del data["canvas_width"], data["canvas_height"]
    pose = parse_pose(data, None if canvas else SIZE)
    assert_true(pose)
    assert any("running from -1 to 1" in line for line in pose.warnings)


def test_a_few_points_left_of_the_canvas_are_fractions_still() -> None:
    data = scaled(plain(), dict.fromkeys(PARTS, 1.0))
    for i in range(5):  # of the left hand
        data["people"][0]["hand_left_keypoints_2d"][3 * i] = -0.1
    pose = parse_pose(data)
    np.testing.assert_allclose(pose.people[0].left_hand[:5, 0], -64)
    np.testing.assert_allclose(pose.people[0].right_hand, TRUTH["right"])


@pytest.mark.parametrize("size", [(3000, 2000), (768, 512), (64, 64)])
def test_whoever_comes_out_a_few_pixels_large_is_named(size: tuple[int, int]) -> None:
    """A pixel file on a canvas of the wrong size is no such thing, but a person of 3 pixels is."""
    small = np.array(plain()["people"][0]["pose_keypoints_2d"]).reshape(-1, 3)
    small[:, :2] = small[:, :2] / 640 * 3 + 40
    data = {"people": [{"pose_keypoints_2d": small.ravel().tolist()}]}
    assert any("pixels large on a canvas" in line for line in parse_pose(data, size).warnings)
    hand = np.array(plain()["people"][0]["hand_left_keypoints_2d"]).reshape(-1, 3)
    hand[:, :2] = hand[:, :2] / 640 * 3 + 40
    person = plain()["people"][0] | {"hand_left_keypoints_2d": hand.ravel().tolist()}
    lines = parse_pose({"people": [person]}, size).warnings
    assert any(line.startswith("the person's left hand is only") for line in lines)


def test_an_ordinary_person_is_not_called_small() -> None:
    assert parse_pose(plain()).warnings == ()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(PARTS), unique=True),
    st.lists(st.tuples(st.sampled_from(PARTS), st.integers(0, 17)), max_size=12),
)
def test_units_do_not_change_the_pose(fractions: list[str], gaps: list[tuple[str, int]]) -> None:
    """Any parts in fractions, any points missing: the pose of the file in pixels."""
    data = plain()
    for part, point in gaps:
        data["people"][0][part][3 * point : 3 * point + 3] = [0, 0, 0]
    want = parse_pose(data)
    got = parse_pose(scaled(data, dict.fromkeys(fractions, 1.0)))
    np.testing.assert_allclose(got.people[0].points, want.people[0].points, rtol=0, atol=1e-9)


GAPS = {
    "no confidence": [7, 8, 0], "a corner": [0, 0, 1], "both -1": [-1, -1, 1], "y alone is -1": [300, -1, 1],
    "x alone is -1": [-1, 200, 1], "null": [None, None, None], "x is null": [None, 200, 1], "NaN": [float("nan")] * 3,
    "y is NaN": [300, float("nan"), 1], "confidence is null": [300, 200, None], "-1 times the canvas": [-640, -480, 1],
    "one side of it": [300, -480, 1],
}  # fmt: skip


def listed(points: np.ndarray) -> list[list[float]]:
    return [[*point, 1.0] for point in points.tolist()]


def files(gap: list[Any]) -> dict[str, Any]:
    """A left hand whose third point is a gap, in every format that is JSON; others in arrays."""
    left = listed(TRUTH["left"])
    left[2] = gap
    flat = [value for point in left for value in point]
    whole = listed(WHOLE)
    whole[93] = gap
    raw = listed(np.concatenate([WHOLE[:1], WHOLE]))  # of the body's order nothing is asked here
    raw[94] = gap
    marks = [
        {"x": x if x is None or x == -1 else x / 640, "y": y if y is None or y == -1 else y / 480} for x, y, _ in left
    ]
    files = {
        "openpose": {"people": [{"hand_left_keypoints_2d": flat}]},
        "openpose, point by point": {"people": [{"hand_left_keypoints_2d": left}]},
        "coco": coco() | {"lefthand_kpts": flat},
        "mmpose": [{"keypoints": [p[:2] for p in whole], "keypoint_scores": [p[2] for p in whole]}],
        "dwpose": {"keypoints": [[p[:2] for p in raw]], "scores": [[p[2] for p in raw]]},
    }
    if gap[2] == 1 and gap[:2] not in ([-640, -480], [300, -480]):
        files["mediapipe"] = {"left_hand_landmarks": marks}
    return files


@pytest.mark.parametrize("gap", GAPS.values(), ids=GAPS)
def test_a_gap_is_a_gap_in_every_format(gap: list[Any]) -> None:
    for name, data in files(gap).items():
        (person,) = parse_pose(json.loads(json.dumps(data)), SIZE).people
        known = np.isfinite(person.left_hand).all(1)
        assert np.flatnonzero(~known).tolist() == [2], name
        np.testing.assert_allclose(person.left_hand[known], TRUTH["left"][known], atol=1e-9, err_msg=name)


@pytest.mark.parametrize("gap", [[-1, -1], [0, 0], [np.nan, np.nan], [300, -1]])
def test_a_gap_in_arrays(gap: list[float]) -> None:
    hands = np.concatenate([TRUTH["right"], TRUTH["left"]])
    hands[23] = gap
    whole = np.column_stack([WHOLE, np.ones(133)])
    whole[93, :2] = gap
    for data in ({"kpts": hands}, {"people": whole[None]}):
        (person,) = parse_pose(data, SIZE).people
        assert np.flatnonzero(~np.isfinite(person.left_hand[:, 0])).tolist() == [2]
        assert np.isfinite(person.right_hand).all()


def test_a_point_outside_the_canvas_is_no_gap() -> None:
    data = plain()
    data["people"][0]["hand_left_keypoints_2d"][6:8] = [300, -20]
    (person,) = parse_pose(data).people
    np.testing.assert_array_equal(person.left_hand[2], [300, -20])
