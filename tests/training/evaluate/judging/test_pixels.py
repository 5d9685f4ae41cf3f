"""Seams, changes and masks of small pictures, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from handfirst.training.evaluate.judging.held_out import held_out, render
from handfirst.training.evaluate.judging.painting import Painted
from handfirst.training.evaluate.judging.pixels import (
    METRICS,
    PixelLook,
    changed,
    intersection_over_union,
    look_at_pixels,
    pixel_measures,
    seam_energy,
    true_look,
)
from handfirst.training.evaluate.measure import figure

SIDE = 40


def left_half() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[:, : SIDE // 2] = True
    return mask


def test_a_flat_picture_has_no_seam_and_a_step_has_one() -> None:
    flat = np.full((SIDE, SIDE, 3), 90, np.uint8)
    assert seam_energy(flat, left_half()) == 1
    step = flat.copy()
    step[:, SIDE // 2 :] = 110
    # central differences: 10 in the two columns of the border, 0 elsewhere
    assert seam_energy(step, left_half()) == pytest.approx((10**2 + 1) / (0 + 1))


def test_a_seam_is_measured_against_what_is_around_it() -> None:
    """A ramp of 4 levels a pixel all over: the border is no busier than the rest."""
    ramp = np.repeat(np.tile(4 * np.arange(SIDE, dtype=np.uint8), (SIDE, 1))[..., None], 3, 2)
    assert seam_energy(ramp, left_half()) == pytest.approx(1)


def test_what_lies_between_border_and_surroundings_does_not_count() -> None:
    image = np.full((SIDE, SIDE, 3), 90, np.uint8)
    image[:, 22] = 250  # gradients in columns 21 and 23: two and four pixels from the outline
    # columns 14..16 and 23..25 are the surroundings: one of six has (160 / 2)^2
    assert seam_energy(image, left_half()) == pytest.approx(1 / (80**2 / 6 + 1))


def test_a_mask_without_an_outline_has_no_seam() -> None:
    flat = np.zeros((SIDE, SIDE, 3), np.uint8)
    assert seam_energy(flat, np.zeros((SIDE, SIDE), np.bool_)) is None
    assert seam_energy(flat, np.ones((SIDE, SIDE), np.bool_)) is None


def test_changes_count_where_something_had_to_stay() -> None:
    given = np.full((SIDE, SIDE, 3), 100, np.uint8)
    image = given.copy()
    image[0, 0, 0], image[1, 0, 1], image[0, SIDE - 1] = 97, 110, 255  # the last one may change
    assert changed(image, given, left_half()) == (10, pytest.approx(13 / (SIDE * SIDE / 2 * 3)))
    assert changed(image, given, np.zeros_like(left_half())) == (None, None)


def test_overlap() -> None:
    a, b = np.zeros((2, 2), np.bool_), np.zeros((2, 2), np.bool_)
    assert intersection_over_union(a, b) == 0
    a[0], b[:, 0] = True, True
    assert intersection_over_union(a, b) == pytest.approx(1 / 3)


def test_the_largest_change_is_of_all_pictures_and_means_are_of_those_that_have_one() -> None:
    looks = [
        PixelLook(changed_most=3, changed_mean=1, top_colour=True),
        PixelLook(changed_most=9, changed_mean=2, top_colour=False),
        PixelLook(seam_energy=2.5),
    ]
    measures = {m.name: m for m in pixel_measures(looks)}
    assert tuple(measures) == METRICS
    found = {n: figure(m.statistic, m.counts, np.arange(3), 0, 0) for n, m in measures.items()}
    values = {name: (f.value, f.n) for name, f in found.items() if f is not None}
    assert values == {
        "changed_most": (9, 2), "changed_mean": (1.5, 2), "top_colour": (0.5, 2), "seam_energy": (2.5, 1),
    }  # fmt: skip


def test_a_render_given_as_the_picture_is_as_good_as_itself() -> None:
    sample = render(held_out(people=1, hands=0)[0], 96)
    hands = sample.hands > 0
    made = look_at_pixels(Painted(sample.rgb, given=sample.rgb, kept=hands, mask=None), sample)
    true = true_look(sample)
    assert made.background_colour and true.background_colour
    assert (made.changed_most, made.seam_energy) == (0, true.seam_energy)
    swapped = np.ascontiguousarray(255 - sample.rgb)
    assert not look_at_pixels(Painted(swapped), sample).background_colour
