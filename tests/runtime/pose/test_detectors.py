"""Results of MMPose, AlphaPose and TensorFlow.js, and the older editors' files, by the names in their documentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.landmarks import BODY
from support.named_person import BODY_18, BODY_25, COCO_17, FEET, SIZE, TRUTH, WHOLE, flat, openpose

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.read import parse_pose

# Halpe's 26 points [Halpe-FullBody, README]: COCO's 17, then
HALPE = [*COCO_17, "head", "neck", "midhip", "lbig", "rbig", "lsmall", "rsmall", "lheel", "rheel"]
NAN = np.full(2, np.nan)


def points(names: list[str]) -> np.ndarray:
    return np.array([TRUTH.get(name, np.array([5.0, 6.0])) for name in names])


def body(names: list[str]) -> np.ndarray:
    """The expected [23, 2]: NaN for what `names` lack."""
    return np.array([TRUTH[name] if name in names else NAN for name in [*COCO_17, *FEET]])


REST = np.concatenate([TRUTH["face"][:68], TRUTH["left"], TRUTH["right"]])
SKELETONS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "17": (points(COCO_17), body(COCO_17)),
    "18": (points(BODY_18), body(BODY_18)),
    "25": (points(BODY_25), body(BODY_25)),
    "26": (points(HALPE), body(HALPE)),
    "133": (WHOLE, WHOLE),
    "136": (np.concatenate([points(HALPE), REST]), WHOLE),
}


@pytest.mark.parametrize(("given", "expected"), SKELETONS.values(), ids=SKELETONS)
def test_every_skeleton_in_every_spelling(given: np.ndarray, expected: np.ndarray) -> None:
    scores = [0.9] * len(given)
    spellings: list[Any] = [
        [{"keypoints": given.tolist(), "keypoint_scores": scores, "bbox": [[0, 0, 9, 9]], "bbox_score": 0.9}],  # MMPose
        [{"keypoints": [[*point, 0.9] for point in given.tolist()], "bbox": [0, 0, 9, 9]}],  # MMPose before 1.0
        [{"image_id": "a.jpg", "category_id": 1, "keypoints": flat(given, 0.9), "score": 2.7}],  # AlphaPose
        [{"keypoints": [{"x": x, "y": y, "score": 0.9, "name": ""} for x, y in given.tolist()], "score": 0.9}],
        {"keypoints": [given.tolist()], "scores": [scores]},
        {"pred_instances": {"keypoints": [given.tolist()], "keypoint_scores": [scores]}},
        {"predictions": [[{"keypoints": given.tolist(), "keypoint_scores": scores}]]},
        {"keypoints": given[None], "scores": np.array([scores])},  # arrays
    ]
    for data in spellings:
        (person,) = parse_pose(data, SIZE).people
        np.testing.assert_allclose(person.points[: len(expected)], expected)
        assert np.isnan(person.points[len(expected) :]).all()
        assert set(person.scores) <= {0, 0.9}


def test_what_a_detector_is_not_sure_of_is_missing() -> None:
    scores = np.full(133, 0.9)
    scores[91], scores[92] = 0.29, 0.3
    (person,) = parse_pose([{"keypoints": WHOLE.tolist(), "keypoint_scores": scores.tolist()}], SIZE).people
    assert np.flatnonzero(person.scores == 0).tolist() == [91]


def test_blazepose_in_a_browser() -> None:
    marks = [{"x": 10 + i, "y": 20 + 2 * i, "z": -0.5, "score": 0.9, "name": ""} for i in range(33)]
    (person,) = parse_pose([{"score": 0.9, "keypoints": marks, "keypoints3D": marks}], SIZE).people
    for coco, (name, number) in enumerate(BODY.items()):
        expected = NAN if number is None else [10 + number, 20 + 2 * number]
        np.testing.assert_allclose(person.points[coco], expected, err_msg=name)


def test_posenet_in_a_browser() -> None:
    parts = [{"score": 0.9, "part": "", "position": {"x": x, "y": y}} for x, y in WHOLE[:17].tolist()]
    (person,) = parse_pose([{"score": 0.8, "keypoints": parts}], SIZE).people
    np.testing.assert_allclose(person.body, WHOLE[:17])


def test_hands_in_a_browser() -> None:
    """In pixels; TensorFlow.js passes on what MediaPipe Hands says, which is the name in a mirror."""
    hands = [
        {
            "score": 0.9,
            "handedness": label,
            "keypoints": [{"x": x, "y": y, "name": ""} for x, y in TRUTH[side].tolist()],
            "keypoints3D": [{"x": 0, "y": 0, "z": 0}] * 21,
        }
        for label, side in (("Left", "right"), ("Right", "left"))
    ]
    for data in (hands, [hands, []], [[], hands]):
        (person,) = parse_pose(data, SIZE).people
        np.testing.assert_allclose(person.left_hand, TRUTH["left"])
        np.testing.assert_allclose(person.right_hand, TRUTH["right"])
    (person,) = parse_pose(hands[0], SIZE).people
    np.testing.assert_allclose(person.right_hand, TRUTH["right"])
    flipped = parse_pose(hands, SIZE, mirrored=True).people[0]
    np.testing.assert_allclose(flipped.left_hand, [640, 0] + TRUTH["right"] * (-1, 1))


@pytest.mark.parametrize("label", ["Left", "left", [{"index": 1, "categoryName": "Left"}]])
def test_lists_of_hands_with_landmarks(label: Any) -> None:
    marks = (TRUTH["left"] / SIZE).tolist()
    pose = parse_pose([{"handedness": label, "landmarks": [[x, y, 0.1] for x, y in marks]}], SIZE)
    np.testing.assert_allclose(pose.people[0].left_hand, TRUTH["left"])
    assert any("taken as named" in line for line in pose.warnings) == isinstance(label, str)


def test_a_hand_without_a_side_is_not_guessed() -> None:
    for name in ("keypoints", "landmarks"):
        with pytest.raises(PoseError, match=r'expected the label "Left" or "Right", got .None'):
            parse_pose([{name: TRUTH["left"].tolist()}], SIZE)


@pytest.mark.parametrize("gap", [[0, 0], [-1, -1], None])
def test_an_older_editor(gap: Any) -> None:
    people = [points(BODY_18).tolist(), points(BODY_18).tolist()]
    people[1][4] = gap  # right wrist
    pose = parse_pose({"width": 640, "height": 480, "keypoints": people})
    assert (pose.width, pose.height, len(pose.people)) == (*SIZE, 2)
    np.testing.assert_allclose(pose.people[0].points[:23], body(BODY_18))
    np.testing.assert_allclose(pose.people[1].points[:23], body([n for n in BODY_18 if n != "rwri"]))


def test_alphapose_in_other_manners() -> None:
    joints = {"version": "AlphaPose v0.3", "bodies": [{"joints": flat(points(BODY_18))}]}
    people = {"version": "AlphaPose v0.3", "people": [{"pose_keypoints_2d": flat(points(BODY_18))}]}
    for data in ({"a.jpg": joints}, {"a.jpg": people}, joints):
        (person,) = parse_pose(data, SIZE).people
        np.testing.assert_allclose(person.points[:23], body(BODY_18))


def test_two_names_for_people_of_which_one_is_none() -> None:
    body = {"people": [], "bodies": 7, "canvas_width": 640, "canvas_height": 480}
    assert parse_pose(body).people == ()
    assert len(parse_pose(body | {"bodies": [{"joints": flat(points(BODY_18))}]}).people) == 1


@pytest.mark.parametrize("count", [56, 69, 20, 71])
def test_a_face_of_another_kind_costs_no_hand(count: int) -> None:
    data = openpose(BODY_18)
    data["people"][0]["face_keypoints_2d"] = [[300 + i, 100, 1] for i in range(count)]
    pose = parse_pose(data, SIZE)
    assert np.isnan(pose.people[0].face).all()
    np.testing.assert_allclose(pose.people[0].left_hand, TRUTH["left"])
    np.testing.assert_allclose(pose.people[0].body, WHOLE[:17])
    assert pose.warnings == (
        f"person 1, face_keypoints_2d: expected 70 or 68 points, got {count}; is it another format? (left out)",
    )


BROKEN: list[Any] = [
    *("text", 5, {"x": 1}, [1, 2, 3, 4]),
    *([["a", 1, 1]] * 21, [[1e9, 1, 1]] * 21, [[float("inf")] * 3] * 21),
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("part", ["hand_right_keypoints_2d", "face_keypoints_2d", "pose_keypoints_2d"])
def test_a_broken_part_costs_no_other(part: str, broken: Any) -> None:
    data = openpose(BODY_18)
    data["people"] += [None, 7, {**openpose(BODY_18)["people"][0]}]
    data["people"][0][part] = broken
    pose = parse_pose(data, SIZE)
    assert len(pose.people) == 2
    np.testing.assert_allclose(pose.people[0].left_hand, TRUTH["left"])
    np.testing.assert_allclose(pose.people[1].points[91:], WHOLE[91:])
    assert pose.warnings[0].startswith(f"person 1, {part}: ") and pose.warnings[1].startswith("person 3: expected an")


def test_a_broken_person_of_a_detector_costs_no_other() -> None:
    people = [{"keypoints": [[1, 2]] * 5}, {"keypoints": WHOLE.tolist()}, "text"]
    pose = parse_pose(people, SIZE)
    np.testing.assert_allclose(pose.people[-1].points, WHOLE)
    assert sum("left out" in line for line in pose.warnings) >= 2


@pytest.mark.parametrize("text", ["640", " 640 ", "640.0", "640px"])
def test_a_canvas_saved_as_text(text: str) -> None:
    for names in (("canvas_width", "canvas_height"), ("width", "height")):
        pose = parse_pose(openpose(BODY_18) | dict(zip(names, (text, "480"), strict=True)))
        assert (pose.width, pose.height) == SIZE
        np.testing.assert_allclose(pose.people[0].left_hand, TRUTH["left"])


def test_point_by_point_and_without_confidences() -> None:
    data = openpose(BODY_25)
    for name, part in data["people"][0].items():
        data["people"][0][name] = [part[i : i + 2] for i in range(0, len(part), 3)]
    np.testing.assert_allclose(parse_pose(data, SIZE).people[0].points, WHOLE)
    data["people"][0]["hand_left_keypoints_2d"] = TRUTH["left"].ravel().tolist()
    np.testing.assert_allclose(parse_pose(data, SIZE).people[0].points, WHOLE)
    old = {name.removesuffix("_2d"): part for name, part in openpose(BODY_25)["people"][0].items()}
    np.testing.assert_allclose(parse_pose({"people": [old]}, SIZE).people[0].points, WHOLE)
