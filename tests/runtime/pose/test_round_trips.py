"""Every format that is written: read again, converted into every other one, and as its own programs see it."""

from __future__ import annotations

import contextlib
import io
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.poses import assert_same, carried, random_pose

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.formats import ARRAYS, FORMATS, WRITABLE, WritableFormat
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.read import read_pose
from handfirst.runtime.pose.write import encode_pose, write_pose

SINGLE = ("mediapipe", "interhand")
TOLERANCE = {"a1111": 1e-9, "mediapipe": 1e-9}  # fractions of the canvas: a rounding or two


def through(folder: Path, pose: Pose, format: WritableFormat) -> Pose:
    path = folder / ("pose.npz" if format in ARRAYS else "pose.json")
    write_pose(pose, path, format)
    size = (pose.width, pose.height) if format == "openpose" else None  # OpenPose does not write its canvas
    return read_pose(path, size)


@pytest.mark.parametrize("format", WRITABLE)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    people=st.integers(0, 3),
    spread=st.sampled_from([1e-4, 0.5, 1.0, 4.0]),
    missing=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
)
def test_read_again(
    format: WritableFormat, tmp_path: Path, seed: int, people: int, spread: float, missing: float
) -> None:
    pose = random_pose(seed, min(people, 1) if format in SINGLE else people, spread, missing)
    assert_same(through(tmp_path, pose, format), carried(pose, format), TOLERANCE.get(format, 0.0))


@pytest.mark.parametrize(("first", "second"), list(product(WRITABLE, WRITABLE)))
def test_conversions(first: WritableFormat, second: WritableFormat, tmp_path: Path) -> None:
    pose = random_pose(7)
    between = through(tmp_path, pose, first)
    assert_same(through(tmp_path, between, second), carried(carried(pose, first), second), 1e-9)


@pytest.mark.parametrize("part", [slice(0, 133), slice(91, 112)], ids=["all", "a hand"])
@pytest.mark.parametrize("format", WRITABLE)
def test_points_within_one_pixel_are_not_taken_for_fractions(
    format: WritableFormat, part: slice, tmp_path: Path
) -> None:
    points = random_pose(1, missing=0.0, spread=0.9).people[0].points
    points[part] = 0.75
    pose = Pose((Person(points, np.ones(133)),), 640, 480)
    assert_same(through(tmp_path, pose, format), carried(pose, format), 1e-9)


def test_openpose_gets_neck_and_hips_halfway() -> None:
    pose = random_pose(3, missing=0.0)
    (person,) = json.loads(encode_pose(pose, "openpose"))["people"]
    body = np.array(person["pose_keypoints_2d"]).reshape(25, 3)
    points, scores = pose.people[0].points, pose.people[0].scores
    # BODY_25: 1 neck between the shoulders 2 and 5, 8 middle of the hips 9 and 12; COCO: shoulders 5, 6, hips 11, 12
    np.testing.assert_allclose(body[1, :2], (body[2, :2] + body[5, :2]) / 2)
    np.testing.assert_allclose(body[8, :2], (points[11] + points[12]) / 2)
    assert body[1, 2] == min(scores[5], scores[6])
    np.testing.assert_array_equal(body[19:, :2], points[17:23])
    assert len(person["face_keypoints_2d"]) == 210 and len(person["hand_left_keypoints_2d"]) == 63


def test_editors_get_null_for_what_is_absent() -> None:
    points = np.full((133, 2), np.nan)
    points[5], points[91:112] = (10, 20), np.arange(42).reshape(21, 2) + 5
    pose = Pose((Person(points, np.isfinite(points[:, 0]) * 0.4),), 64, 48)
    written = json.loads(encode_pose(pose, "a1111"))
    assert (written["canvas_width"], written["canvas_height"]) == (64, 48)
    (person,) = written["people"]
    assert person["face_keypoints_2d"] is None and person["hand_right_keypoints_2d"] is None
    assert person["pose_keypoints_2d"][15:18] == [10, 20, 1]  # OpenPose's left shoulder
    assert person["pose_keypoints_2d"][3:6] == [0, 0, 0]  # no neck without the right one
    assert person["hand_left_keypoints_2d"][:3] == [5, 6, 1]


def test_pycocotools_reads_our_annotations(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    pose = random_pose(5, people=2, missing=0.2)
    write_pose(pose, tmp_path / "pose.json", "coco")
    with contextlib.redirect_stdout(io.StringIO()):
        data = coco.COCO(str(tmp_path / "pose.json"))
    annotations = data.loadAnns(data.getAnnIds(imgIds=[1], catIds=data.getCatIds(["person"])))
    assert len(annotations) == 2
    for annotation, person in zip(annotations, pose.people, strict=True):
        known = np.isfinite(person.points[:, 0])
        assert annotation["num_keypoints"] == known[:17].sum()
        assert set(annotation["keypoints"][2::3]) <= {0, 2}
        x, y, w, h = annotation["bbox"]
        assert (x, y) == tuple(person.points[known].min(0)) and annotation["area"] == pytest.approx(w * h)


def test_two_people_do_not_fit_every_format() -> None:
    for format in SINGLE:
        with pytest.raises(PoseError, match=r"one person.*got 2"):
            encode_pose(random_pose(1, people=2), format)


def test_only_foundhand_is_not_written() -> None:
    assert set(FORMATS) - set(WRITABLE) == {"foundhand"}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "pose.json").write_text("old")
    with pytest.raises(PoseError):
        write_pose(random_pose(1, people=2), tmp_path / "pose.json", "mediapipe")
    assert (tmp_path / "pose.json").read_text() == "old" and len(list(tmp_path.iterdir())) == 1
