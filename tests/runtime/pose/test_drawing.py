"""Soft shapes against OpenCV's, which ControlNets were trained with, and against areas by hand."""

from functools import partial

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.runtime.pose.drawing import REACH, disc, ellipse, stroke
from handfirst.runtime.pose.skeleton import _summed

WHITE = (255, 255, 255)
inside = st.tuples(st.floats(20, 80), st.floats(20, 80)).map(np.array)
anywhere = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).map(np.array)


def fixed(point):
    return round(float(point[0] - 0.5) * 16), round(float(point[1] - 0.5) * 16)


def blank():
    return np.zeros((100, 100, 3), np.uint8)


def apart(mine, theirs):
    """The difference as a share of what was drawn."""
    return np.abs(mine.astype(int) - theirs).sum() / theirs.sum()


@settings(deadline=None)
@given(centre=inside, radius=st.floats(4, 15))
def test_discs(centre, radius):
    mine, theirs = blank(), blank()
    disc(mine, centre, radius, WHITE)
    cv2.circle(theirs, fixed(centre), round(radius * 16), WHITE, -1, cv2.LINE_AA, 4)
    assert apart(mine, theirs) < 0.15
    np.testing.assert_allclose(mine.sum() / 765, np.pi * (radius + REACH) ** 2, rtol=0.02)


@settings(deadline=None)
@given(a=inside, b=inside)
def test_strokes(a, b):
    mine, theirs = blank(), blank()
    stroke(mine, a, b, 2, WHITE)
    cv2.line(theirs, fixed(a), fixed(b), WHITE, 2, cv2.LINE_AA, 4)
    half = 1 + REACH
    np.testing.assert_allclose(mine.sum() / 765, np.hypot(*(b - a)) * 2 * half + np.pi * half**2, rtol=0.04, atol=0.6)
    if np.hypot(*(b - a)) > 10:
        assert apart(mine, theirs) < 0.2


@settings(deadline=None)
@given(middle=inside, length=st.floats(6, 19), angle=st.floats(0, 360))
def test_ellipses(middle, length, angle):
    half = length * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    mine, theirs = blank(), blank()
    ellipse(mine, middle - half, middle + half, 4, WHITE)
    cv2.ellipse(theirs, fixed(middle), (round(length * 16), 64), angle, 0, 360, WHITE, -1, cv2.LINE_AA, 4)
    assert apart(mine, theirs) < 0.15
    np.testing.assert_allclose(mine.sum() / 765, np.pi * (length + REACH) * (4 + REACH), rtol=0.05)


@given(a=anywhere, b=anywhere)
def test_what_is_out_of_sight_costs_nothing_and_breaks_nothing(a, b):
    image = blank()
    disc(image, a, 3, WHITE)
    ellipse(image, a, a, 3, WHITE)
    stroke(image, a, b, 2, WHITE)
    assert image.shape == (100, 100, 3)


@pytest.mark.parametrize("draw", [partial(disc, radius=6), partial(stroke, b=np.array([50.0, 30.0]), width=12)])
def test_colours_cover_what_was_there(draw):
    image = np.full((100, 100, 3), 77, np.uint8)
    draw(image, np.array([50.0, 30.0]), colour=(9, 90, 200))
    assert image[29, 49].tolist() == [9, 90, 200]
    assert image[60, 60].tolist() == [77, 77, 77]
    assert image[30, 40:60].min(0).tolist() == [9, 77, 77]


@given(factor=st.integers(1, 8), seed=st.integers(0, 99))
def test_pixels_are_summed_as_a_reduction_sums_them(factor, seed):
    image = np.random.default_rng(seed).integers(0, 256, (3 * factor, 5 * factor, 3)).astype(np.uint8)
    expected = image.reshape(3, factor, 5, factor, 3).sum((1, 3), dtype=np.uint32)
    np.testing.assert_array_equal(_summed(_summed(image, 0, factor), 1, factor), expected)
