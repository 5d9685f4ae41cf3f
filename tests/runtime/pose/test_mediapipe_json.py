"""MediaPipe's JSON by the names in its documentation; which hand is which; what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.landmarks import BODY, FACE

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.read import parse_pose

SIZE = (200, 100)


def marks(count: int, shift: float = 0.0, **more: float) -> dict[str, Any]:
    """As MessageToDict writes them: landmark i at ((i + 1) / 1000 + shift, (i + 1) / 2000)."""
    return {"landmark": [{"x": (i + 1) / 1000 + shift, "y": (i + 1) / 2000, "z": -0.1, **more} for i in range(count)]}


def at(i: int, shift: float = 0.0) -> list[float]:
    return [((i + 1) / 1000 + shift) * 200, (i + 1) / 2000 * 100]


def holistic(**parts: Any) -> dict[str, Any]:
    names = ("pose_landmarks", "face_landmarks", "left_hand_landmarks", "right_hand_landmarks")
    return {name: parts.get(name) for name in names}


def hands(*labels: str) -> dict[str, Any]:
    """Hand k is shifted by k tenths."""
    return {
        "multi_hand_landmarks": [marks(21, k / 10) for k in range(len(labels))],
        "multi_handedness": [{"classification": [{"index": 0, "score": 0.9, "label": label}]} for label in labels],
    }


def test_body_and_feet_by_name() -> None:
    (person,) = parse_pose(holistic(pose_landmarks=marks(33, visibility=0.75)), SIZE).people
    for coco, (name, number) in enumerate(BODY.items()):
        expected = [np.nan, np.nan] if number is None else at(number)
        np.testing.assert_allclose(person.points[coco], expected, err_msg=name)
        assert person.scores[coco] == (0 if number is None else 0.75)
    assert np.isnan(person.points[23:]).all()


@pytest.mark.parametrize(("mesh", "point"), FACE.values(), ids=FACE)
@pytest.mark.parametrize("count", [468, 478])
def test_face(mesh: int, point: int, count: int) -> None:
    (person,) = parse_pose(holistic(face_landmarks=marks(count)), SIZE).people
    np.testing.assert_allclose(person.face[point], at(mesh))


def test_holistic_names_sides_as_they_are() -> None:
    both = holistic(left_hand_landmarks=marks(21), right_hand_landmarks=marks(21, 0.5))
    (person,) = parse_pose(both, SIZE).people
    np.testing.assert_allclose(person.left_hand, [at(i) for i in range(21)])
    np.testing.assert_allclose(person.right_hand, [at(i, 0.5) for i in range(21)])
    assert (person.scores[91:] == 1).all()


def test_lists_and_camel_case() -> None:
    listed = [[(i + 1) / 1000, (i + 1) / 2000, 0.0] for i in range(21)]
    (person,) = parse_pose({"leftHandLandmarks": listed, "image_width": 200, "image_height": 100}).people
    np.testing.assert_allclose(person.left_hand, [at(i) for i in range(21)])
    plain = {"multiHandLandmarks": [listed], "multiHandedness": [{"label": "Left", "score": 0.9}]}
    (person,) = parse_pose(plain, SIZE).people
    np.testing.assert_allclose(person.right_hand, [at(i) for i in range(21)])


def test_guesses_are_missing() -> None:
    pose = marks(33, visibility=0.49)
    pose["landmark"][12]["visibility"] = 0.5
    (person,) = parse_pose(holistic(pose_landmarks=pose), SIZE).people
    assert np.flatnonzero(person.scores).tolist() == [6]


def test_hands_zero_visibility_says_nothing() -> None:
    (person,) = parse_pose(holistic(left_hand_landmarks=marks(21, visibility=0.0)), SIZE).people
    assert np.isfinite(person.left_hand).all()


def test_hands_calls_a_right_hand_left() -> None:
    (person,) = parse_pose(hands("Left", "Right"), SIZE).people
    np.testing.assert_allclose(person.right_hand[5], at(5, 0.0))
    np.testing.assert_allclose(person.left_hand[5], at(5, 0.1))


def test_a_mirrored_picture_is_flipped_back() -> None:
    (person,) = parse_pose(hands("Left"), SIZE, mirrored=True).people
    x, y = at(5)
    np.testing.assert_allclose(person.left_hand[5], [200 - x, y])
    assert not person.has_hand("right")


def test_many_hands_are_paired_in_order() -> None:
    pose = parse_pose(hands("Left", "Left", "Right"), SIZE)
    assert len(pose.people) == 2 and any("paired in its order" in line for line in pose.warnings)
    np.testing.assert_allclose(pose.people[1].right_hand[5], at(5, 0.1))
    assert not pose.people[1].has_hand("left")


def test_nobody() -> None:
    assert parse_pose(holistic(), SIZE).people == ()
    assert parse_pose({"multi_hand_landmarks": None, "multi_handedness": None}, SIZE).people == ()


def test_pixels_are_read_as_pixels() -> None:
    (person,) = parse_pose(holistic(left_hand_landmarks=PIXELS), (640, 480)).people
    np.testing.assert_array_equal(person.left_hand[3], [303, 200])


def test_a_part_that_cannot_be_read_costs_no_other() -> None:
    data = holistic(face_landmarks=marks(400), left_hand_landmarks=marks(21), right_hand_landmarks=marks(20))
    pose = parse_pose(data, SIZE)
    assert pose.people[0].has_hand("left") and not pose.people[0].has_hand("right")
    assert "face_landmarks: expected 468 or 478 landmarks, got 400 landmarks (left out)" in pose.warnings
    assert "right_hand_landmarks: expected 21 landmarks, got 20 landmarks (left out)" in pose.warnings


PIXELS = {"landmark": [{"x": 300 + i, "y": 200} for i in range(21)]}
BAD = {
    "no size": (holistic(pose_landmarks=marks(33)), None, "add --size WIDTHxHEIGHT"),
    "32 landmarks": (holistic(pose_landmarks=marks(32)), SIZE, "expected 33 landmarks, got 32"),
    "a face of 400": (holistic(face_landmarks=marks(400)), SIZE, "expected 468 or 478 landmarks"),
    "text": (holistic(left_hand_landmarks="hand"), SIZE, "expected 21 landmarks, got str"),
    "no x": (holistic(left_hand_landmarks=[{"y": 1}] * 21), SIZE, "expected landmarks {x, y, z, visibility}, got"),
    "texts for landmarks": (holistic(left_hand_landmarks=["a"] * 21), SIZE, "expected landmarks"),
    "no sides": ({"multi_hand_landmarks": [marks(21)]}, SIZE, "as many multi_handedness"),
    "another side": (hands("Middle"), SIZE, 'label "Left" or "Right", got .Middle'),
}


@pytest.mark.parametrize(("data", "size", "message"), BAD.values(), ids=BAD.keys())
def test_one_clear_line(data: Any, size: tuple[int, int] | None, message: str) -> None:
    with pytest.raises(PoseError, match=message) as caught:
        parse_pose(data, size)
    assert "\n" not in str(caught.value)


def test_mirrored_is_for_hands_only() -> None:
    with pytest.raises(PoseError, match="drop --mirrored"):
        parse_pose(holistic(pose_landmarks=marks(33)), SIZE, mirrored=True)
    with pytest.raises(PoseError, match="MediaPipe Hands only"):
        parse_pose({"people": [], "canvas_width": 9, "canvas_height": 9}, mirrored=True)
