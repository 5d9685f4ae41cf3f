"""The adapters of MediaPipe and rtmlib, with stand-ins for the libraries: sides, pixels, colours, boxes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.rtm_files import write_detector, write_simcc

from handfirst.engines.errors import UserError
from handfirst.training.evaluate.judging import judges
from handfirst.training.evaluate.judging.judges import RTM_FILES, SEEN, MediaPipeJudge, RtmlibJudge

SQUARE = np.zeros((256, 256, 3), np.uint8)
SQUARE[..., 0] = 200  # red


def test_mediapipe_names_sides_as_in_a_mirror(monkeypatch) -> None:
    marks = SimpleNamespace(landmark=[SimpleNamespace(x=i / 256, y=0.5) for i in range(21)])
    label = SimpleNamespace(classification=[SimpleNamespace(label="Left", score=1.00001)])
    found = SimpleNamespace(multi_hand_landmarks=[marks], multi_handedness=[label])
    faces = SimpleNamespace(process=lambda _: SimpleNamespace(detections=None))
    large: list[tuple[int, ...]] = []

    def pose(image: np.ndarray) -> SimpleNamespace:
        large.append(image.shape)
        return SimpleNamespace(
            pose_landmarks=SimpleNamespace(landmark=[SimpleNamespace(x=i / 20, y=0.5) for i in range(33)])
        )

    library = SimpleNamespace(
        hands=SimpleNamespace(Hands=lambda **_: SimpleNamespace(process=lambda _: found)),
        face_detection=SimpleNamespace(FaceDetection=lambda **_: faces),
        pose=SimpleNamespace(Pose=lambda **_: SimpleNamespace(process=pose)),
    )
    monkeypatch.setattr(judges, "solutions", lambda: library)
    monkeypatch.setattr(judges, "version", lambda _: "0.10.21")
    judge = MediaPipeJudge()
    (hand,) = judge.hands(SQUARE)
    assert (judge.name, hand.side, hand.score) == ("MediaPipe 0.10.21", "right", 1)
    np.testing.assert_allclose(hand.array(), np.stack([np.arange(21), np.full(21, 128)], 1))
    assert not judge.face(SQUARE, np.array([[10.0, 10.0], [20.0, 20.0]]))
    shoulders = np.array([[11 / 20 * 256, 128], [12 / 20 * 256, 128]])  # Pose's landmarks 11 and 12
    assert judge.body(SQUARE, shoulders) and large == [(384, 384, 3)]
    assert judge.body(SQUARE, shoulders + np.array([0, 6.3])) and not judge.body(
        SQUARE, shoulders + np.array([0, 6.5])
    )  # of 12.8 apart
    assert not judge.body(SQUARE, shoulders[::-1])


class FakeModel:
    """RTMDet where it is called without boxes, RTMPose with them or for a whole body."""

    boxes = np.array([[0.0, 0.0, 10.0, 10.0]])
    face = 0.4
    shoulders = 0.0

    def __init__(self, file: str, model_input_size: tuple[int, int], **_: object) -> None:
        self.role, self.size = Path(file).stem, model_input_size

    def __call__(self, image: np.ndarray, bboxes: np.ndarray | None = None) -> object:
        assert image[0, 0].tolist() == [0, 0, 200]  # blue, green, red
        if self.role == "hand_detector":
            return self.boxes
        count = 21 if self.role == "hand" else 133
        scores = np.zeros((1, count))
        scores[0, 23:91] = self.face
        scores[0, 5:7] = self.shoulders
        return np.full((1, count, 2), 7.0), scores if count == 133 else np.full((1, 21), 0.5)


@pytest.fixture
def rtm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RtmlibJudge:
    for name in RTM_FILES.values():
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, "rtmlib", SimpleNamespace(RTMDet=FakeModel, RTMPose=FakeModel))
    monkeypatch.setattr(judges, "version", lambda _: "0.0.16")
    monkeypatch.setattr(judges, "_input_size", lambda role, file: (192, 256))
    return RtmlibJudge(tmp_path)


def test_rtmlib_sees_hands_without_sides(rtm, monkeypatch) -> None:
    (hand,) = rtm.hands(SQUARE)
    assert (rtm.name, hand.side, hand.score) == ("rtmlib 0.0.16", None, 0.5)
    assert (hand.array() == 7).all()
    monkeypatch.setattr(FakeModel, "boxes", np.zeros((0, 4)))
    assert rtm.hands(SQUARE) == ()


def test_rtmlib_finds_a_face_by_the_mean_of_its_points(rtm, monkeypatch) -> None:
    assert rtm.face(SQUARE, np.zeros((68, 2)))
    monkeypatch.setattr(FakeModel, "face", 0.29)
    assert not rtm.face(SQUARE, np.zeros((68, 2)))


def test_rtmlib_finds_a_body_by_its_shoulders(rtm, monkeypatch) -> None:
    assert not rtm.body(SQUARE, np.array([[7.0, 7.0], [27.0, 7.0]]))  # no score
    monkeypatch.setattr(FakeModel, "shoulders", 0.3)
    assert not rtm.body(SQUARE, np.array([[7.0, 7.0], [27.0, 7.0]]))  # the right one is seen elsewhere
    assert rtm.body(SQUARE, np.array([[7.0, 7.0], [7.0, 7.0]]))


def test_the_library_itself_reads_files_of_the_real_layout(tmp_path: Path) -> None:
    """A hand's box is square already: widened by a quarter around its centre it is the network's picture."""
    pytest.importorskip("rtmlib", reason="rtmlib is not installed: it brings another OpenCV")
    at = np.stack([np.arange(21) * 20, 500 - np.arange(21) * 9], 1)
    write_detector(tmp_path / "hand_detector.onnx", (320, 320), np.array([[80.0, 40, 280, 240, 0.9]]))
    write_simcc(tmp_path / "hand.onnx", (256, 256), at, np.full(21, 0.75))
    write_simcc(tmp_path / "whole_body.onnx", (256, 192), np.zeros((133, 2), int), np.full(133, SEEN + 0.1))
    judge = RtmlibJudge(tmp_path)
    (hand,) = judge.hands(SQUARE)
    corner, side = np.array([64.0, 32]) - 0.125 * 160, 1.25 * 160  # 256 / 320 of the box
    np.testing.assert_allclose(hand.array(), at / 2 / 256 * side + corner, atol=0.05)
    assert (hand.score, hand.side) == (0.75, None) and judge.face(SQUARE, np.zeros((68, 2)))


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "hand_detector.onnx").touch()
    with pytest.raises(UserError, match=r"no hand.onnx; put it there"):
        RtmlibJudge(tmp_path)
