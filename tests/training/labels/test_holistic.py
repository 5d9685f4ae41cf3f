"""Holistic's landmarks by their names in MediaPipe's documentation -> COCO-WholeBody's points by theirs."""

from types import SimpleNamespace

import numpy as np
import pytest
from support.landmarks import BODY, FACE

from handfirst.runtime.pose.landmarks import FACE_MESH
from handfirst.training.data.labels.holistic import to_wholebody

WIDTH, HEIGHT = 200, 100


def marks(count: int, visibility: float = 1.0) -> list[SimpleNamespace]:
    """Landmark i at (i / 1000, i / 2000)."""
    return [SimpleNamespace(x=i / 1000, y=i / 2000, visibility=visibility) for i in range(count)]


def at(i: int) -> list[float]:
    return [i / 1000 * WIDTH, i / 2000 * HEIGHT, 1]


def test_body_and_feet_by_name() -> None:
    points = to_wholebody(marks(33), None, None, None, WIDTH, HEIGHT)
    for coco, (name, number) in enumerate(BODY.items()):
        np.testing.assert_allclose(points[coco], [0, 0, 0] if number is None else at(number), rtol=1e-5, err_msg=name)
    assert not points[23:].any()


@pytest.mark.parametrize(("mesh", "point"), FACE.values(), ids=FACE)
def test_face(mesh: int, point: int) -> None:
    points = to_wholebody(None, marks(468), None, None, WIDTH, HEIGHT)
    np.testing.assert_allclose(points[23 + point], at(mesh), rtol=1e-5)
    assert (points[23:91, 2] == 1).all() and len(set(FACE_MESH)) == 68


def test_hands_keep_their_order_left_before_right() -> None:
    left, right = marks(21), [SimpleNamespace(x=0.5 + m.x, y=m.y, visibility=0.0) for m in marks(21)]
    points = to_wholebody(None, None, left, right, WIDTH, HEIGHT)
    np.testing.assert_allclose(points[91:112], [at(i) for i in range(21)], rtol=1e-5)
    np.testing.assert_allclose(points[112:133, 0], [WIDTH * (0.5 + i / 1000) for i in range(21)], rtol=1e-5)
    assert (points[112:133, 2] == 1).all()  # only pose landmarks have a visibility


def test_what_is_hidden_or_outside_is_unknown() -> None:
    pose = marks(33)
    pose[11].visibility, pose[12].visibility = 0.49, 0.5
    pose[13].x, pose[14].y = -0.01, 1.01
    points = to_wholebody(pose, None, None, None, WIDTH, HEIGHT)
    assert points[5].tolist() == points[7].tolist() == points[8].tolist() == [0, 0, 0]
    assert points[6, 2] == 1
