"""Colours in known regions: drawn by hand, and on true renders."""

from __future__ import annotations

import numpy as np

from handfirst.training.data.procedural.palette import COLOURS
from handfirst.training.evaluate.colours import Coloured, agreement, background_region, chest_region, region_colour

SIDE = 100


def keypoints() -> np.ndarray:
    points = np.zeros((133, 3), np.float32)
    points[5], points[6] = (70, 40, 2), (30, 40, 2)
    return points


def test_the_chest_is_a_disc_below_the_shoulders_without_the_hands() -> None:
    nothing = np.zeros((SIDE, SIDE), np.bool_)
    chest = chest_region(keypoints(), nothing)
    rows, columns = np.nonzero(chest)
    np.testing.assert_allclose([rows.mean() + 0.5, columns.mean() + 0.5], [40 + 0.45 * 40, 50], atol=0.3)
    assert abs(chest.sum() - np.pi * (0.22 * 40) ** 2) < 12
    hand = nothing.copy()
    hand[50:70, 40:50] = True
    assert not (chest_region(keypoints(), hand) & hand).any() and chest_region(keypoints(), hand).any()
    unknown = keypoints()
    unknown[5, 2] = 0
    assert not chest_region(unknown, nothing).any()


def test_the_background_keeps_clear_of_the_person() -> None:
    person = np.zeros((SIDE, SIDE), np.bool_)
    person[40:, 30:70] = True
    region = background_region(person)
    assert not region[37:, 27:73].any() and region[:37].all() and region[:, :27].all()


def test_shares_are_counted_where_a_region_is_large_enough() -> None:
    top = np.zeros((SIDE, SIDE), np.bool_)
    top[50:60, 40:60] = True
    image = np.empty((SIDE, SIDE, 3), np.uint8)
    image[:] = np.rint(COLOURS["red"] * 255)
    image[top] = np.rint(COLOURS["blue"] * 255)
    image[0, 0] = 255  # a median does not mind
    right = Coloured(~top, "red", top, "blue")
    wrong = Coloured(~top, "green", top, "blue")
    small = Coloured(~top, "red", np.zeros_like(top), "blue")
    assert region_colour(image, top) == "blue" and region_colour(image, small.top) is None
    assert agreement([image] * 4, [right, wrong, small, wrong]) == {"background": 0.5, "top": 1.0}
    assert np.isnan(agreement([image], [small])["top"])
