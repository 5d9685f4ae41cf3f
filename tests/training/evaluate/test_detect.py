"""What is done with MediaPipe's answers; MediaPipe itself stands in an environment of its own, here it is played."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.landmarks import BODY_AND_FEET, FACE_MESH, FINDABLE, whole_body
from handfirst.runtime.pose.person import Person, Pose
from handfirst.training.evaluate import detect
from handfirst.training.evaluate.detect import MARGIN, cut


def marks(count: int, visibility: float = 0.9) -> Any:
    """Landmark i lies at (i / 1000, i / 500)."""
    points = [SimpleNamespace(x=i / 1000, y=i / 500, visibility=visibility) for i in range(count)]
    return SimpleNamespace(landmark=points)


def holistic(**parts: Any) -> Any:
    names = ("pose_landmarks", "face_landmarks", "left_hand_landmarks", "right_hand_landmarks")
    return SimpleNamespace(**{name: parts.get(name) for name in names})


def test_landmarks_become_the_133_points() -> None:
    result = holistic(pose_landmarks=marks(33), face_landmarks=marks(468), right_hand_landmarks=marks(21))
    points = whole_body(result, width=1000, height=500)
    assert points is not None and points.shape == (133, 3)
    # nose, left and right shoulder, wrist, hip, ankle; big toe, heel: MediaPipe's documented numbers
    for ours, theirs in {0: 0, 5: 11, 6: 12, 9: 15, 10: 16, 11: 23, 12: 24, 15: 27, 16: 28, 17: 31, 19: 29}.items():
        assert points[ours].tolist() == pytest.approx([theirs, theirs, 0.9])
    assert points[[18, 21], 2].tolist() == [0, 0]
    assert points[23].tolist() == pytest.approx([162, 162, 1])
    assert (points[91:112, 2] == 0).all()
    np.testing.assert_allclose(points[112:, 0], np.arange(21))


def test_the_tables_name_every_point_once() -> None:
    assert sorted(FINDABLE) == [i for i in range(133) if i not in (18, 21)]
    assert len(set(BODY_AND_FEET.values())) == len(BODY_AND_FEET) == 21
    assert len(set(FACE_MESH)) == len(FACE_MESH) == 68
    assert max(FACE_MESH) < 468


def test_nobody_is_nobody() -> None:
    assert whole_body(holistic(left_hand_landmarks=marks(21)), 10, 10) is None


def test_a_crop_keeps_points_on_their_pixels() -> None:
    """A bright pixel's centre is found where the crop says the point is."""
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:23, 50:53] = 255
    points = np.array([[51.5, 21.5], [41.5, 31.5], [np.nan, np.nan]])
    square, moved = cut(image, points, 220)
    ys, xs = np.nonzero(square[..., 0] > 127)
    assert moved[0].tolist() == pytest.approx([xs.mean() + 0.5, ys.mean() + 0.5], abs=0.6)
    assert moved[0] - moved[1] == pytest.approx([220 / MARGIN, -220 / MARGIN])
    assert np.isnan(moved[2]).all()


class Graph:
    """A MediaPipe graph that answers with `answer(image)` and notes the sizes it was shown."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.shown, self.closed = answer, [], False

    def __enter__(self) -> Graph:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def process(self, image: np.ndarray) -> Any:
        self.shown.append(image.shape[:2])
        return self.answer(image)


def hands(*found: tuple[str, float]) -> Any:
    """As MediaPipe Hands says it."""
    return SimpleNamespace(
        multi_handedness=[SimpleNamespace(classification=[SimpleNamespace(label=n, score=s)]) for n, s in found] or None
    )


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Graph]:
    made = {
        "holistic": Graph(lambda _: holistic(pose_landmarks=marks(33, 0.6))),
        "hands 0.0": Graph(lambda _: hands(("Left", 0.97), ("Right", 0.2))),
        "hands 0.5": Graph(lambda image: hands(("Left", 0.7), ("Right", 0.8)) if image.mean() > 100 else hands()),
        "face": Graph(lambda _: SimpleNamespace(detections=[SimpleNamespace(score=[0.66])])),
    }
    solutions = SimpleNamespace(
        holistic=SimpleNamespace(Holistic=lambda **_: made["holistic"]),
        hands=SimpleNamespace(Hands=lambda min_detection_confidence, **_: made[f"hands {min_detection_confidence}"]),
        face_detection=SimpleNamespace(FaceDetection=lambda **_: made["face"]),
    )
    monkeypatch.setattr(detect, "solutions", lambda: solutions)
    return made


def test_a_picture_is_asked_three_questions(graphs: dict[str, Graph]) -> None:
    points = np.full((133, 2), np.nan)
    points[91:112] = np.random.default_rng(0).uniform([10, 10], [60, 60], (21, 2))  # left hand, on white
    points[112:133] = np.random.default_rng(1).uniform([130, 10], [190, 60], (21, 2))  # right hand, on black
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, :100] = 255
    with detect.Detector() as detector:
        found = detector(image, Pose((Person(points, np.ones(133)),), 200, 100))
    assert (found.width, found.height) == (200, 100)
    assert graphs["holistic"].shown == [(400, 800)]  # enlarged four times
    assert found.people[0].score == pytest.approx(0.6)
    assert found.people[0].points[5] == pytest.approx((11 / 1000 * 200, 11 / 500 * 100, 0.6), abs=0.01)
    assert [(hand.side, hand.score) for hand in found.hands] == [("right", 0.97), ("left", 0.2)]  # named as in a mirror
    assert [(part.part, part.score) for part in found.parts] == [("left hand", 0.8), ("right hand", None)]
    assert all(graph.closed for graph in graphs.values())


def test_without_a_pose_there_are_no_parts(graphs: dict[str, Graph]) -> None:
    with detect.Detector() as detector:
        found = detector(np.zeros((500, 400, 3), np.uint8), None)
    assert found.parts == () and len(found.people) == 1
    assert graphs["holistic"].shown == [(500, 400)]


def test_without_mediapipe_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mediapipe", None)
    with pytest.raises(UserError, match=r"pip install 'handfirst\[cpu,eval\]'"), detect.Detector():
        pass
