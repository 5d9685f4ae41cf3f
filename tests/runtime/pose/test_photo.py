"""Photos; MediaPipe stands in an environment of its own, here it is played."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose import photo
from handfirst.runtime.pose.read import read_pose


def marks(count: int, visibility: float = 0.9) -> Any:
    """Landmark i lies at (i / 1000, i / 500)."""
    return SimpleNamespace(
        landmark=[SimpleNamespace(x=i / 1000, y=i / 500, visibility=visibility) for i in range(count)]
    )


class Holistic:
    """Finds the same in every picture, or nothing in a black one."""

    shown: list[np.ndarray]

    def __init__(self, **options: Any) -> None:
        assert options == {"static_image_mode": True, "model_complexity": 1}
        self.shown = type(self).shown = []

    def __enter__(self) -> Holistic:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def process(self, image: np.ndarray) -> Any:
        self.shown.append(image)
        pose = marks(33) if image.any() else None
        if pose is not None:
            pose.landmark[16].visibility = 0.4
        return SimpleNamespace(
            pose_landmarks=pose,
            face_landmarks=None,
            left_hand_landmarks=marks(21, 0.0) if pose else None,
            right_hand_landmarks=None,
        )


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = SimpleNamespace(solutions=SimpleNamespace(holistic=SimpleNamespace(Holistic=Holistic)))
    monkeypatch.setitem(sys.modules, "mediapipe", graphs)


def saved(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image[..., ::-1])
    return path


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_a_pose_from_a_photo(played: None, tmp_path: Path, ending: str) -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, :, 0] = 200  # red
    pose = read_pose(saved(tmp_path / f"photo.{ending}", image))
    assert (pose.width, pose.height) == (200, 100)
    (person,) = pose.people
    np.testing.assert_allclose(person.points[5], [11 / 1000 * 200, 11 / 500 * 100])
    np.testing.assert_allclose(person.left_hand[20], [20 / 1000 * 200, 20 / 500 * 100])
    assert np.isnan(person.points[10]).all()  # a guess
    assert person.has_hand("left") and not person.has_hand("right")
    (shown,) = Holistic.shown
    assert shown.shape == (400, 800, 3)  # enlarged until the shorter side has 384
    assert shown[..., 0].min() > 150 and shown[..., 2].max() < 80  # RGB


def test_a_usual_size_is_not_the_photo_s(played: None, tmp_path: Path) -> None:
    photo = saved(tmp_path / "photo.png", np.full((100, 200, 3), 9, np.uint8))
    pose = read_pose(photo, default_size=(64, 48))
    assert (pose.width, pose.height) == (200, 100) and len(pose.people) == 1
    assert pose.warnings[0] == "the canvas is 200 x 100, as the file itself says, and not the usual 64 x 48"


def test_nobody(played: None, tmp_path: Path) -> None:
    pose = read_pose(saved(tmp_path / "photo.png", np.zeros((10, 20, 3), np.uint8)))
    assert pose.people == () and "found nobody" in pose.warnings[0]


def test_a_camera_held_upright(played: None, tmp_path: Path) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(np.full((40, 80, 3), 99, np.uint8)).save(file, "JPEG", exif=exif)
    (tmp_path / "photo.jpg").write_bytes(file.getvalue())
    pose = read_pose(tmp_path / "photo.jpg")
    assert (pose.width, pose.height) == (40, 80)


def test_refusals(played: None, tmp_path: Path) -> None:
    good = saved(tmp_path / "photo.png", np.full((10, 20, 3), 50, np.uint8))
    with pytest.raises(PoseError, match="drop --size"):
        read_pose(good, (10, 10))
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:20])
    with pytest.raises(PoseError, match="a damaged photo"):
        read_pose(tmp_path / "cut.png")
    Image.fromarray(np.zeros((10_000, 10_000), np.bool_)).save(tmp_path / "bomb.png")
    with pytest.raises(PoseError, match="too many pixels"):
        read_pose(tmp_path / "bomb.png")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(PoseError, match=r"pip install 'handfirst\[cpu,eval\]'"):
        read_pose(saved(tmp_path / "photo.png", np.full((10, 20, 3), 50, np.uint8)))
    assert not photo.is_photo(b"RIFF1234WAVE") and photo.is_photo(b"RIFF1234WEBP")
