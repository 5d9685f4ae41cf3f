"""The same person through every real format, and what is said about files that are none."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.named_person import BODY_18, BODY_25, CANVAS, SIZE, TRUTH, WHOLE, coco, flat, openpose

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.picture import draw_pose
from handfirst.runtime.pose.read import read_pose

FORMATS: dict[str, tuple[Any, bool, int]] = {  # data, whether it needs a size, points that it can carry
    "openpose-18": (openpose(BODY_18, version=1.3), True, 127),
    "openpose-25": (openpose(BODY_25, version=1.3), True, 133),
    "a1111-pixels": (openpose(BODY_18, **CANVAS, animals=[]), False, 127),
    "a1111-normalised": (openpose(BODY_18, SIZE, **CANVAS), False, 127),
    "comfyui-list": ([openpose(BODY_18, **CANVAS)], False, 127),
    "coco-annotation": (coco(), True, 133),
    "coco-results": ([coco()], True, 133),
    "coco-file": (
        {"images": [{"id": 3, "width": SIZE[0], "height": SIZE[1]}], "annotations": [coco()], "categories": []},
        False,
        133,
    ),
}


def write(folder: Path, data: Any) -> Path:
    path = folder / "pose.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_one_person_through_every_format(name: str, tmp_path: Path) -> None:
    data, needs_size, count = FORMATS[name]
    path = write(tmp_path, data)
    if needs_size:
        with pytest.raises(PoseError, match="add --size WIDTHxHEIGHT"):
            read_pose(path)
    pose = read_pose(path, SIZE if needs_size else None)
    assert (pose.width, pose.height) == SIZE and not pose.warnings
    (person,) = pose.people
    known = np.isfinite(person.points[:, 0])
    assert known.sum() == count and (known == (person.scores > 0)).all()
    np.testing.assert_allclose(person.points[known], WHOLE[known], atol=1e-6)
    assert draw_pose(pose).shape == (512, 683, 3)


def test_absent_parts_and_missing_points(tmp_path: Path) -> None:
    data = openpose(BODY_18, **CANVAS)
    person = data["people"][0]
    person["face_keypoints_2d"] = None
    person["hand_right_keypoints_2d"] = []
    person["pose_keypoints_2d"][9:12] = [0, 0, 0]  # right elbow
    person["hand_left_keypoints_2d"][0:3] = [5, 5, 0]  # no confidence
    (found,) = read_pose(write(tmp_path, data)).people
    assert np.isnan(found.face).all() and np.isnan(found.right_hand).all()
    assert np.isnan(found.body[8]).all() and np.isnan(found.left_hand[0]).all()
    assert np.isfinite(found.left_hand[1:]).all()


def test_what_is_odd_is_said(tmp_path: Path) -> None:
    data = openpose(BODY_18, **CANVAS)
    person = data["people"][0]
    person["pose_keypoints_2d"][18:21] = [0, 0, 0]  # left elbow
    person["hand_right_keypoints_2d"][12:] = [0, 0, 0] * 17
    person["face_keypoints_2d"][0:3] = [900, 10, 1]
    data["people"].append({"pose_keypoints_2d": flat([TRUTH[n] for n in BODY_18])})
    lines = read_pose(write(tmp_path, data)).warnings
    assert any("2 people" in line for line in lines)
    assert any("person 1 has 1 points outside" in line for line in lines)
    assert any("person 1's left hand has no arm" in line for line in lines)
    assert any("right hand has only 4 points" in line for line in lines)
    assert any("person 2 has no hand" in line for line in lines)
    nobody = read_pose(write(tmp_path, {"people": [], **CANVAS}))
    assert nobody.people == () and "no person" in nobody.warnings[0]
    frames = read_pose(write(tmp_path, [openpose(BODY_18, **CANVAS)] * 3))
    assert "3 frames" in frames.warnings[0]


def raw(number: str) -> str:
    """A pose whose first number is spelt so."""
    return f'{{"people": [{{"pose_keypoints_2d": [{number}{", 1" * 53}]}}], "canvas_width": 9, "canvas_height": 9}}'


BAD: dict[str, tuple[Any, str]] = {
    "a number too large for floats": (raw(str(10**400)), "up to 1e"),
    "broken": ("{", "not valid JSON"),
    "deep": ("[" * 100_000, "too deeply|not valid JSON"),
    "other JSON": ({"hello": 1}, "not a pose: expected OpenPose JSON"),
    "number": ("3", "not a pose"),
    "empty list": ("[]", "not a pose"),
    "17 points": ({"people": [{"pose_keypoints_2d": [1.0] * 51}], **CANVAS}, "18 or 25 points of x, y, conf"),
    "text": ({"people": [{"pose_keypoints_2d": ["a"] * 54}], **CANVAS}, "expected numbers, got 'a'"),
    "truth values": ({"people": [{"pose_keypoints_2d": [True] * 54}], **CANVAS}, "expected numbers"),
    "infinite": (raw("1e999"), "inf"),
    "huge": ({"people": [{"pose_keypoints_2d": [1e7] * 54}], **CANVAS}, "up to 1e"),
    "no object": ({"people": [7], **CANVAS}, "person 1: expected an object"),
    "no list": ({"people": [{"pose_keypoints_2d": {"x": 1}}], **CANVAS}, "expected 18 or 25 points, got"),
    "canvas of nothing": ({"people": [], "canvas_width": 0, "canvas_height": 5}, "expected 1 to 16384 pixels"),
    "canvas is a word": ({"people": [], "canvas_width": "wide", "canvas_height": 5}, "canvas width: expected numbers"),
    "annotations of numbers": ({"annotations": [1]}, "annotation 1: expected an object with keypoints"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_clear_line(case: str, tmp_path: Path) -> None:
    data, message = BAD[case]
    path = write(tmp_path, data)
    with pytest.raises(PoseError, match=message) as caught:
        read_pose(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_files_that_are_not_text_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match="cannot be read"):
        read_pose(tmp_path / "missing.json")
    with pytest.raises(PoseError, match="cannot be read"):
        read_pose(tmp_path)
    (tmp_path / "x.json").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(PoseError, match="not a text file"):
        read_pose(tmp_path / "x.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**9) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(list(FORMATS)), st.data())
def test_mutated_files_are_a_pose_or_a_pose_error(tmp_path: Path, name: str, data: st.DataObject) -> None:
    value = copy.deepcopy(FORMATS[name][0])
    at = value[0] if isinstance(value, list) else value
    for _ in range(data.draw(st.integers(1, 3))):
        place = at
        while data.draw(st.booleans()) and isinstance(place, dict):
            nested = [v for v in place.values() if isinstance(v, dict | list)]
            if not nested:
                break
            place = data.draw(st.sampled_from(nested))
            place = place[0] if isinstance(place, list) and place and isinstance(place[0], dict) else place
        if isinstance(place, dict) and place:
            place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JSON)
        elif isinstance(place, list) and place:
            place[data.draw(st.integers(0, len(place) - 1))] = data.draw(JSON)
    check_any(write(tmp_path, value))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(JSON.map(json.dumps), st.text(max_size=40)))
def test_any_text_is_a_pose_or_a_pose_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    check_any(path)


def check_any(path: Path) -> None:
    try:
        pose = read_pose(path, SIZE)
    except PoseError as error:
        assert "\n" not in str(error)
        return
    assert isinstance(pose, Pose)
    for person in pose.people:
        assert person.points.shape == (133, 2)
        assert (np.isfinite(person.points).all(1) | np.isnan(person.points).all(1)).all()
