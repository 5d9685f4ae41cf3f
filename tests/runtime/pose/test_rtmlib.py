"""rtmlib finds people with networks of the user's: with a stand-in for the library, and with the library itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from support.rtm_files import write_detector, write_simcc

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose import detect
from handfirst.runtime.pose.detect import RTM_FILES, look_with_rtmlib

PICTURE = np.zeros((300, 400, 3), np.uint8)
PICTURE[..., 0] = 200  # red
DETECTOR, POSE = (416, 416), (256, 192)
RATIO = 416 / 400
BOX = np.array([100.0, 50.0, 220.0, 210.0])  # in the photo
POINTS = np.stack([(np.arange(133) * 7) % 384, (np.arange(133) * 11) % 512], 1)
SCORES = np.linspace(0.5, 1.5, 133)  # RTMW's are not bounded by 1


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    detect._rtm_networks.cache_clear()
    yield
    detect._rtm_networks.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    boxes = np.array([[*(BOX * RATIO), 0.9], [0, 0, 10, 10, 0.1]])
    write_detector(tmp_path / RTM_FILES[0], DETECTOR, boxes)
    write_simcc(tmp_path / RTM_FILES[1], POSE, POINTS, SCORES)
    monkeypatch.setenv("HANDFIRST_RTMLIB", str(tmp_path))
    return tmp_path


def test_the_library_itself_reads_files_of_the_real_layout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The box made 3 : 4 and widened by a quarter around its centre is the network's picture [RTMPose, MMPose]."""
    pytest.importorskip("rtmlib", reason="rtmlib is not installed: it brings another OpenCV")
    pose = look_with_rtmlib(PICTURE)
    (person,) = pose.people
    centre, (width, height) = (BOX[:2] + BOX[2:]) / 2, 1.25 * (BOX[2:] - BOX[:2])
    scale = np.array([max(width, 0.75 * height), max(height, width / 0.75)])
    expected = POINTS / 2 / (POSE[1], POSE[0]) * scale + centre - scale / 2
    np.testing.assert_allclose(person.points, expected, atol=0.05)
    np.testing.assert_allclose(person.scores, np.minimum(SCORES, 1), atol=1e-5)
    assert (pose.width, pose.height, pose.warnings) == (400, 300, ())
    assert capsys.readouterr().out == ""  # stdout is for answers
    write_detector(folder / RTM_FILES[0], DETECTOR, np.array([[0, 0, 10, 10, 0.1]]))
    detect._rtm_networks.cache_clear()
    nobody = look_with_rtmlib(PICTURE)
    assert nobody.people == () and nobody.warnings == ("rtmlib found nobody in the photo",)


class Stand:
    """A network of the library."""

    made: ClassVar[list[tuple[str, tuple[int, int]]]] = []
    boxes = np.array([BOX])

    def __init__(self, file: str, model_input_size: tuple[int, int], **where: str) -> None:
        assert where == {"backend": "onnxruntime", "device": "cpu"}
        self.made.append((Path(file).name, model_input_size))
        print(f"load {file}")

    def __call__(self, image: np.ndarray, bboxes: np.ndarray | None = None) -> Any:
        assert image[0, 0].tolist() == [0, 0, 200] and image.flags.c_contiguous  # blue, green, red
        if bboxes is None:
            return self.boxes
        return np.full((len(bboxes), 133, 2), 7.0), np.full((len(bboxes), 133), 1.5)


def test_networks_are_opened_once_with_their_own_sizes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rtmlib", SimpleNamespace(YOLOX=Stand, RTMPose=Stand))
    monkeypatch.setattr(Stand, "made", [])
    for _ in range(2):
        (person,) = look_with_rtmlib(PICTURE).people
        assert (person.points == 7).all() and (person.scores == 1).all()
    assert Stand.made == [("person.onnx", (416, 416)), ("whole_body.onnx", (192, 256))]
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(Stand, "boxes", np.zeros((0, 4)))
    assert look_with_rtmlib(PICTURE).people == ()


def test_what_cannot_be_opened_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(PoseError, match=r"pip install 'handfirst\[repair\]'"):
        look_with_rtmlib(PICTURE)
    monkeypatch.setitem(sys.modules, "rtmlib", SimpleNamespace(YOLOX=Stand, RTMPose=Stand))
    (folder / RTM_FILES[1]).write_bytes(b"nothing")
    with pytest.raises(PoseError, match="cannot get or open its networks"):
        look_with_rtmlib(PICTURE)
    (folder / RTM_FILES[1]).unlink()
    with pytest.raises(PoseError, match=r"HANDFIRST_RTMLIB: expected a folder with .* no whole_body.onnx there"):
        look_with_rtmlib(PICTURE)
