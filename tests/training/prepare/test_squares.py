"""Squares of a picture against formulas worked by hand."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.painted import person

from handfirst.runtime.geometry import Similarity
from handfirst.runtime.systems.two_stage.settings import HandSettings
from handfirst.training.data.prepare.cuts import Cut, body_cut, hand_squares
from handfirst.training.data.record import to_person

HAND = HandSettings(size=64, margin=1.5)


def test_a_hand_of_18_pixels_gets_a_square_of_27() -> None:
    """Radius 9 about (90, 50): a box of 18, times 1.5; (90, 50) comes to the middle at scale 64 / 27."""
    (square,) = hand_squares(to_person(person((90, 50), None)), HAND, 120, 90)
    assert (square.name, square.sides) == ("left", ("left",))
    assert square.extent == pytest.approx([27, 27])
    assert square.similarity.scale == pytest.approx(64 / 27)
    np.testing.assert_allclose(
        square.similarity.apply(np.array([[90.0, 50.0], [90 - 13.5, 50 + 13.5]])), [[32, 32], [0, 64]]
    )


def test_hands_that_meet_share_a_square() -> None:
    """Centres 12 apart: a box of 30 x 18, a square of 45 about the point between them."""
    (square,) = hand_squares(to_person(person((80, 50), (68, 50))), HAND, 120, 90)
    assert (square.name, square.sides) == ("both", ("left", "right"))
    assert square.extent == pytest.approx([45, 45])
    np.testing.assert_allclose(square.similarity.apply(np.array([74.0, 50.0])), [32, 32])


def test_hands_apart_have_one_each() -> None:
    squares = hand_squares(to_person(person((95, 50), (40, 50))), HAND, 120, 90)
    assert [s.name for s in squares] == ["left", "right"]


@pytest.mark.parametrize(
    ("low", "share"), [((10, 10), 0.0), ((-20, 10), 0.5), ((-20, -20), 0.75), ((100, 70), 0.75), ((200, 0), 1.0)]
)
def test_the_share_outside_the_picture(low: tuple[float, float], share: float) -> None:
    """A square of 40 in a picture of 120 x 90, its corner at `low`."""
    square = Cut("left", ("left",), Similarity(64 / 40, -low[0] * 64 / 40, -low[1] * 64 / 40), (64, 64))
    assert square.outside(120, 90) == pytest.approx(share)


def test_a_body_is_framed_about_its_middle() -> None:
    """Points from (41, 20) to (99, 59), hands included: 58 wide, times 1.25; 72.5 about (70, 39.5)."""
    square = body_cut(to_person(person((90, 50), (50, 50))), 1.25, [(64, 64)], 400, 300)
    assert square is not None and square.name == "person"
    assert square.extent == pytest.approx([72.5, 72.5])
    np.testing.assert_allclose(square.similarity.inverse().apply(np.zeros(2)), [70 - 36.25, 39.5 - 36.25])


def test_hands_wider_than_the_picture_is_high_do_not_fit() -> None:
    assert body_cut(to_person(person((110, 50), (12, 50))), 1.25, [(64, 64)], 120, 90) is None


@settings(max_examples=150, deadline=None)
@given(
    left=st.tuples(st.floats(0, 400), st.floats(0, 300)),
    right=st.none() | st.tuples(st.floats(0, 400), st.floats(0, 300)),
    width=st.integers(60, 400),
    height=st.integers(60, 300),
)
def test_a_body_square_lies_in_the_picture_and_holds_the_hands(left, right, width, height) -> None:
    assume(left[0] <= width and left[1] <= height and (right is None or (right[0] <= width and right[1] <= height)))
    people = person(left, right)
    square = body_cut(to_person(people), 1.25, [(64, 64)], width, height)
    hands = people[91:133][people[91:133, 2] > 0, :2].astype(np.float64)
    visible = np.clip(hands, 0, (width, height))
    extent = np.ptp(people[people[:, 2] > 0, :2], axis=0).max()
    side = min(1.25 * extent, width, height)
    if square is None:
        assert np.ptp(visible, axis=0).max() > side
        return
    assert square.extent == pytest.approx([side, side])
    corners = square.similarity.inverse().apply(np.array([[0.0, 0.0], [64.0, 64.0]]))
    assert (corners >= -1e-6).all() and (corners <= np.array([width, height]) + 1e-6).all()
    inside = square.similarity.apply(visible)
    assert (inside >= -1e-6).all() and (inside <= 64 + 1e-6).all()


BUCKETS = [(64, 64), (48, 80), (80, 48)]


def test_a_broad_person_gets_a_broad_canvas() -> None:
    """The box of 58 x 39 (see above), times 1.25: 72.5 x 48.75 is nearer to 80 x 48 than to a square. All of its height
    fits into 81.25 x 48.75."""
    cut = body_cut(to_person(person((90, 50), (50, 50))), 1.25, BUCKETS, 400, 300)
    assert cut is not None and cut.size == (80, 48)
    assert cut.extent == pytest.approx([48.75 * 80 / 48, 48.75])


def test_hands_that_one_canvas_cannot_hold_get_another() -> None:
    """A canvas of 16 x 64 is nearest to the person, but 15 x 60 of the picture are too little for 18 pixels of hand."""
    sizes = [(16, 64), (64, 64)]
    keypoints = person((60, 50), None)
    keypoints[0] = (60, 5, 1)
    assert body_cut(to_person(keypoints), 1.0, sizes, 120, 90).size == (16, 64)
    cut = body_cut(to_person(keypoints), 1.0, sizes, 120, 60)
    assert cut is not None and cut.size == (64, 64)


@settings(max_examples=150, deadline=None)
@given(
    left=st.tuples(st.floats(0, 400), st.floats(0, 300)),
    right=st.none() | st.tuples(st.floats(0, 400), st.floats(0, 300)),
    width=st.integers(60, 400),
    height=st.integers(60, 300),
)
def test_a_canvas_lies_in_the_picture_and_holds_the_hands(left, right, width, height) -> None:
    assume(left[0] <= width and left[1] <= height and (right is None or (right[0] <= width and right[1] <= height)))
    people = person(left, right)
    cut = body_cut(to_person(people), 1.25, BUCKETS, width, height)
    visible = np.clip(people[91:133][people[91:133, 2] > 0, :2].astype(np.float64), 0, (width, height))
    if cut is None:
        largest = [np.array(size) * min(width / size[0], height / size[1]) for size in BUCKETS]
        assert any((np.ptp(visible, axis=0) > extent).any() for extent in largest)
        return
    corners = cut.similarity.inverse().apply(np.array([[0.0, 0.0], cut.size]))
    assert (corners >= -1e-6).all() and (corners <= np.array([width, height]) + 1e-6).all()
    inside = cut.similarity.apply(visible)
    assert (inside >= -1e-6).all() and (inside <= np.array(cut.size) + 1e-6).all()
