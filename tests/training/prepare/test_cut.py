"""Pixels, labels and key points of a square against NumPy's own slices, pads and means."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.painted import discs, ground, person

from handfirst.runtime.geometry import Similarity
from handfirst.training.data.prepare.cuts import Cut, cut_labels, cut_picture, cut_points
from handfirst.training.data.record import to_keypoints, to_person

IMAGE = ground(5).read()


def square_at(x: float, y: float, side: float, size: int, *sides: str, name: str = "left") -> Cut:
    """The square whose corner is (x, y)."""
    scale = size / side
    return Cut(name, sides or ("left",), Similarity(scale, -x * scale, -y * scale), (size, size))


@settings(max_examples=60, deadline=None)
@given(x=st.integers(-40, 110), y=st.integers(-40, 80), size=st.integers(32, 70))
def test_whole_pixels_are_a_slice_and_edges_go_on(x: int, y: int, size: int) -> None:
    wide = np.pad(IMAGE, ((100, 150), (100, 150), (0, 0)), mode="edge")
    wanted = wide[100 + y : 100 + y + size, 100 + x : 100 + x + size]
    np.testing.assert_array_equal(cut_picture(IMAGE, square_at(x, y, size, size)), wanted)


def test_a_canvas_is_a_slice_too() -> None:
    cut = Cut("person", ("left",), Similarity(1, -20, -10), (60, 40))
    np.testing.assert_array_equal(cut_picture(IMAGE, cut), IMAGE[10:50, 20:80])
    labels = discs((60, 45), (70, 35)).read()
    np.testing.assert_array_equal(cut_labels(labels, cut), np.where(labels[10:50, 20:80] == 1, 1, 0))
    points = cut_points(to_person(person((60, 45), None)), cut)
    assert points[91].tolist() == [40, 35, 1]


def test_half_the_size_is_the_mean_of_four() -> None:
    wanted = IMAGE[10:74, 20:84].reshape(32, 2, 32, 2, 3).mean((1, 3))
    cut = cut_picture(IMAGE, square_at(20, 10, 64, 32))
    assert np.abs(cut - wanted).max() <= 0.5 + 1e-9


def test_labels_are_cut_like_pixels_and_the_other_hand_goes() -> None:
    labels = discs((60, 45), (80, 45)).read()
    both = cut_labels(labels, square_at(40, 20, 60, 60, "left", "right"))
    np.testing.assert_array_equal(both, labels[20:80, 40:100])
    left = cut_labels(labels, square_at(40, 20, 60, 60, "left"))
    np.testing.assert_array_equal(left, np.where(labels[20:80, 40:100] == 1, 1, 0))


def test_labels_outside_the_picture_are_nothing() -> None:
    labels = np.ones((90, 120), np.uint8)
    cut = cut_labels(labels, square_at(-30, -30, 60, 60))
    np.testing.assert_array_equal(cut, np.pad(np.ones((30, 30), np.uint8), ((30, 0), (30, 0))))


def test_points_move_with_the_pixels() -> None:
    """(x - 60) / 40 * 64: the square of 40 pixels at (60, 30)."""
    points = cut_points(to_person(person((80, 50), (40, 50))), square_at(60, 30, 40, 64))
    known = points[:, 2] > 0
    assert np.flatnonzero(known).tolist() == list(range(91, 112))
    np.testing.assert_allclose(points[91, :2], [(80 - 60) / 40 * 64, (50 - 30) / 40 * 64], atol=1e-4)


def test_a_person_keeps_what_lies_inside() -> None:
    """Shoulders at (70, 20) and (50, 20); a square from (60, 10) on holds the left one."""
    points = cut_points(to_person(person((80, 50), None)), square_at(60, 10, 64, 64, "left", name="person"))
    assert points[5].tolist() == [10, 10, 1]
    assert points[6].tolist() == [0, 0, 0]


def test_unknown_points_stay_unknown() -> None:
    keypoints = person((80, 50), None)
    np.testing.assert_array_equal(to_keypoints(to_person(keypoints)), keypoints)
    assert not cut_points(to_person(keypoints), square_at(60, 30, 40, 64, "left", "right"))[112:].any()
