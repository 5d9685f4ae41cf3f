"""Projection against OpenCV's own, the joints' order against their names, the fisheye against its formula."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dataset_cameras import INTERHAND, MEDIAPIPE, into_world, random_lens
from support.dataset_truth import LEFT, RIGHT, save
from support.datasets import write_interhand
from support.more_datasets import CAPTURE, MASK_VALUES, write_reinterhand

from handfirst.training.data.record import Record, Skipped
from handfirst.training.data.sources.camera import camera_at, camera_of
from handfirst.training.data.sources.entry import UnusableError
from handfirst.training.data.sources.joints import TO_MEDIAPIPE, person_of
from handfirst.training.data.sources.opening import open_source
from handfirst.training.data.sources.reinterhand import MaskFolder


@given(st.integers(0, 10**6))
def test_pinhole_equals_opencv(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lens = random_lens(rng, 512)
    world = into_world(rng, rng.uniform(-200, 700, (42, 2)), lens)
    reference, _ = cv2.projectPoints(world, cv2.Rodrigues(lens.rotation)[0], lens.translation, lens.matrix, None)
    by_position = camera_at(*(v.tolist() for v in (lens.position, lens.rotation, lens.focal, lens.centre)))
    found = by_position.project(world)
    np.testing.assert_allclose(found[:, :2], reference[:, 0] + 0.5, atol=1e-6)
    assert (found[:, 2] == 1).all()


@given(st.integers(0, 10**6))
def test_fisheye_equals_its_formula(seed: int) -> None:
    """Kannala and Brandt: the angle to the axis, theta, is bent to theta (1 + k1 theta^2 + ... + k4 theta^8)."""
    rng = np.random.default_rng(seed)
    lens = random_lens(rng, 512, fisheye=True)
    assert lens.fisheye is not None
    inside = np.stack([rng.uniform(-400, 400, 42), rng.uniform(-400, 400, 42), rng.uniform(200, 600, 42)], axis=1)
    world = (inside - lens.translation) @ lens.rotation
    entry = {
        "R": lens.rotation.tolist(), "t": lens.translation.tolist(), "focal": lens.focal.tolist(),
        "princpt": lens.centre.tolist(), "D": lens.fisheye.tolist(),
    }  # fmt: skip
    radius = np.hypot(inside[:, 0], inside[:, 1])
    theta = np.arctan2(radius, inside[:, 2])
    bent = theta * (1 + sum(k * theta ** (2 * i + 2) for i, k in enumerate(lens.fisheye)))
    expected = inside[:, :2] / radius[:, None] * bent[:, None] * lens.focal + lens.centre + 0.5
    np.testing.assert_allclose(camera_of(entry).project(world)[:, :2], expected, atol=1e-6)
    columns = entry | {"t": [[v] for v in entry["t"]], "D": [[v] for v in entry["D"]]}
    np.testing.assert_allclose(camera_of(columns).project(world)[:, :2], expected, atol=1e-6)


def test_points_behind_the_camera_are_not_known() -> None:
    camera = camera_at([0, 0, 0], np.eye(3).tolist(), [100, 100], [50, 50])
    found = camera.project(np.array([[0.0, 0, 500], [0, 0, -500], [10, 20, 0], [5, -5, 100]]))
    np.testing.assert_allclose(found, [[50.5, 50.5, 1], [0, 0, 0], [0, 0, 0], [55.5, 45.5, 1]])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"R": np.zeros((3, 3)).tolist()}, "camera: no rotation"),
        ({"focal": [0.0, 100.0]}, "camera: no focal length"),
        ({"t": [0.0, float("inf"), 0.0]}, "camera: not finite"),
        ({"princpt": None}, "camera: wrong count"),
        ({"D": [0.1, 0.1]}, "camera: wrong count"),
    ],
)
def test_cameras_that_are_none(change: dict[str, object], reason: str) -> None:
    good = {"R": np.eye(3).tolist(), "t": [0.0, 0.0, 0.0], "focal": [100.0, 100.0], "princpt": [50.0, 50.0]}
    camera_of(good)
    with pytest.raises(UnusableError, match=reason):
        camera_of(good | change)


def test_the_order_of_the_joints_follows_their_names() -> None:
    assert [INTERHAND[i] for i in TO_MEDIAPIPE] == MEDIAPIPE
    points = np.stack([np.arange(42.0), np.arange(42.0) + 100, np.ones(42)], axis=1)
    person = person_of(points)
    assert person[91, 0] == 21 + 20 and person[112, 0] == 20  # wrists: left, right
    assert person[112 + 8, 0] == 4 and person[91 + 5, 0] == 21 + 7  # tip of the right index; base of the left one
    assert not person[:91].any()


def test_half_a_hand_is_known_where_both_files_say_so(tmp_path: Path) -> None:
    write_interhand(tmp_path, count=3, seed=9)
    base = tmp_path / "annotations/train/InterHand2.6M_train_"
    data = json.loads(Path(f"{base}data.json").read_text())
    joints = json.loads(Path(f"{base}joint_3d.json").read_text())
    annotation = next(a for a in data["annotations"] if a["hand_type"] == "interacting")
    image = next(i for i in data["images"] if i["id"] == annotation["image_id"])
    annotation["joint_valid"][0] = 0  # tip of the right thumb, in the picture's list
    annotation["joint_valid"] = [[bool(v)] for v in annotation["joint_valid"]]
    joints[str(image["capture"])][str(image["frame_idx"])]["joint_valid"][41] = [
        0
    ]  # the left wrist, in the frame's list
    Path(f"{base}data.json").write_text(json.dumps(data))
    Path(f"{base}joint_3d.json").write_text(json.dumps(joints))
    records = [r for r in open_source("interhand", tmp_path) if isinstance(r, Record)]
    assert len(records) == 3
    person = next(r.people[0] for r in records if r.attributes["hand_type"] == "interacting")
    assert np.flatnonzero(person[91:, 2] == 0).tolist() == [0, 21 + 4]


def test_masks_are_read_where_they_are_said_to_lie(tmp_path: Path) -> None:
    written = write_reinterhand(tmp_path, count=2, seed=4, masks=True)
    told = open_source("reinterhand", tmp_path, masks=MaskFolder("masks", *MASK_VALUES))
    for record in told:
        assert isinstance(record, Record) and record.masks is not None
        truth = written.truths[f"{int(record.attributes['frame']):06d}"]
        np.testing.assert_array_equal(record.masks.read(), truth.sample.hands)
    assert all(isinstance(r, Record) and r.masks is None for r in open_source("reinterhand", tmp_path))
    inside = list(open_source("reinterhand", tmp_path / CAPTURE))  # one capture may be given as well
    assert len(inside) == 2 and all(isinstance(r, Record) for r in inside)


def test_hands_outside_the_picture_and_hands_not_tracked(tmp_path: Path) -> None:
    written = write_reinterhand(tmp_path, count=2, seed=4)
    first, second = written.truths.values()
    save(first.image, np.zeros((1, 1, 3), np.uint8))
    path = tmp_path / CAPTURE / "keypoints_orig" / f"{second.attributes['frame']}.json"
    joints = json.loads(path.read_text())
    path.write_text(json.dumps([[0, 0, 0]] * 21 + joints[21:]))
    skipped, record = sorted(open_source("reinterhand", tmp_path), key=lambda r: isinstance(r, Record))
    assert isinstance(skipped, Skipped) and skipped.reason == "no joint in the picture"
    assert isinstance(record, Record) and record.attributes["side"] == "left"
    assert (record.people[0, LEFT, 2] == 1).all() and not record.people[0, RIGHT].any()


def test_the_authors_test_captures_are_for_tests(tmp_path: Path) -> None:
    write_reinterhand(tmp_path, count=1)
    name = "m--20221215--0949--RNS217--pilot--ProjectGoliathScript--Hands--two-hands"
    (tmp_path / CAPTURE).rename(tmp_path / name)
    assert [r.split for r in open_source("reinterhand", tmp_path) if isinstance(r, Record)] == ["test"]
