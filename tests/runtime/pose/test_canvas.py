"""How large a canvas is: names and places of sizes, contradictions, what a caller asks, neighbours."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.named_person import BODY_18, CANVAS, SIZE, WHOLE, coco, openpose

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.read import parse_pose, read_pose

BARE = openpose(BODY_18)
WITH = openpose(BODY_18, **CANVAS)
OTHER = (800, 600)

SPELT: dict[str, dict[str, Any]] = {
    "canvas": {"canvas_width": 640, "canvas_height": 480},
    "text": {"canvas_width": "640", "canvas_height": "480 px"},
    "camel case": {"imageWidth": 640, "imageHeight": 480},
    "a list as text": {"image_size": "640x480"},
    "NumPy's shape": {"img_shape": [480, 640, 3]},
    "an object": {"size": {"width": 640, "height": 480}},
    "a canvas with sizes": {"canvas": {"width": 640, "height": 480}},
    "twice the same": {"width": 640, "height": 480, "W": "640", "H": "480"},
}


@pytest.mark.parametrize("said", SPELT.values(), ids=SPELT)
def test_every_spelling(said: dict[str, Any]) -> None:
    pose = parse_pose(BARE | said)
    assert (pose.width, pose.height) == SIZE and pose.warnings == ()


def test_a_list_of_two_sides_is_told_unless_they_are_equal() -> None:
    pose = parse_pose(BARE | {"image_size": [640, 480]})
    assert (pose.width, pose.height) == SIZE
    assert pose.warnings == ("image_size is read as width, height: a canvas of 640 x 480",)
    assert parse_pose(BARE | {"image_size": [640, 640]}).warnings == ()


def test_a_size_that_was_asked_for_overrides_the_file_and_says_so() -> None:
    pose = parse_pose(WITH, OTHER)
    assert (pose.width, pose.height) == OTHER
    assert pose.warnings == ("the canvas is 800 x 600, as was asked for; the file itself says 640 x 480",)
    assert parse_pose(WITH, SIZE).warnings == parse_pose(BARE, OTHER).warnings == ()


def test_a_default_does_not_override_the_file() -> None:
    pose = parse_pose(WITH, default_size=OTHER)
    assert (pose.width, pose.height) == SIZE
    assert pose.warnings == ("the canvas is 640 x 480, as the file itself says, and not the usual 800 x 600",)
    pose = parse_pose(BARE, default_size=OTHER)
    assert (pose.width, pose.height, pose.warnings) == (*OTHER, ())
    assert parse_pose(BARE, SIZE, default_size=OTHER).width == 640
    with pytest.raises(PoseError, match="size: expected 1 to 16384"):
        parse_pose(WITH, default_size=(0, 5))


SEVERAL = "the file says several sizes of the canvas (640 x 480, 800 x 600): the first is taken"
TWO: dict[str, Any] = {
    "two names": WITH | {"width": 800, "height": 600},
    "a frame and its file": {"width": 800, "height": 600, "frames": [WITH]},
    "an image and its file": {
        "width": 800, "height": 600, "images": [{"id": 3, "width": 640, "height": 480}], "annotations": [coco()],
    },
    "two people": [coco() | {"width": 640, "height": 480}, coco() | {"width": 800, "height": 600}],
    "a hand and another": [
        {"landmarks": (WHOLE[91:112] / SIZE).tolist(), "side": "left", "width": w, "height": h}
        for w, h in (SIZE, OTHER)
    ],
}  # fmt: skip


@pytest.mark.parametrize("data", TWO.values(), ids=TWO)
def test_sizes_that_contradict_each_other_are_told(data: Any) -> None:
    pose = parse_pose(data)
    assert (pose.width, pose.height) == SIZE and SEVERAL in pose.warnings
    np.testing.assert_allclose(pose.people[0].left_hand, WHOLE[91:112])


def test_a_size_that_is_none_is_told_where_another_is_there() -> None:
    pose = parse_pose(WITH | {"width": 0, "height": 0})
    assert pose.width == 640 and "got 0 x 0" in pose.warnings[0]
    assert "got 0 x 0" in parse_pose(BARE | {"width": 0, "height": 0}, SIZE).warnings[0]
    with pytest.raises(PoseError, match="got 0 x 0"):
        parse_pose(BARE | {"width": 0, "height": 0})


def test_an_id_that_two_images_have() -> None:
    images = [{"id": 3, "file_name": f"{w}.jpg", "width": w, "height": h} for w, h in (SIZE, OTHER)]
    for name in ("3", "800.jpg"):
        pose = parse_pose({"images": images, "annotations": [coco()]}, image=name)
        assert pose.warnings == ("2 images have the id '3': all of its people are read as those of one", SEVERAL)
    assert parse_pose({"images": images[:1] * 2, "annotations": [coco()]}).warnings == ()


def test_the_canvas_of_a_neighbour() -> None:
    borrowed = "the frame does not say how large its canvas is: 640 x 480 is taken from another frame"
    pose = parse_pose([BARE, WITH], frame=1)
    assert (pose.width, pose.height, pose.warnings) == (*SIZE, (borrowed,))
    pose = parse_pose([BARE, WITH, WITH | {"canvas_width": 800, "canvas_height": 600}], frame=1)
    assert pose.warnings == (borrowed, SEVERAL)
    assert parse_pose([BARE, WITH], OTHER, frame=1).warnings == ()
    assert parse_pose([BARE, WITH], default_size=OTHER, frame=1).width == 640


def test_foundhand_s_mask_and_another_size(tmp_path: Path) -> None:
    arrays = {"kpts": np.full((42, 2), 50.0), "hand_mask": np.zeros((480, 640), np.uint8), "width": 800, "height": 600}
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    (tmp_path / "pose.npz").write_bytes(file.getvalue())
    pose = read_pose(tmp_path / "pose.npz")
    assert (pose.width, pose.height) == SIZE and SEVERAL in pose.warnings
