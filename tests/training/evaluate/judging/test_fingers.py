"""Chains of fingers, worked by hand; the limits are those that the script derived."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.judging import open_hand

from handfirst.training.evaluate.judging.fingers import LIMITS, NAMES, chains, five_fingers, passes

RESULTS = Path(__file__).parents[4] / "benchmarks" / "results" / "finger-limits.json"


def test_an_open_hand_by_hand() -> None:
    """Fingers of 3 x 10 px straight up; bases at x = 0, 20, 40, 60, 80 and y = 60 above a wrist at (40, 100)."""
    found = chains(open_hand())
    # the box of all points is 80 wide and 70 high, a finger is 30 long
    np.testing.assert_allclose(found[:, 0], 30 / 80)
    away = np.degrees(np.arctan2([-40, -20, 0, 20, 40], 40))  # of the bases, from straight up
    np.testing.assert_allclose(found[:, 1], [*np.diff(away), away[4] - away[3]])
    np.testing.assert_allclose(found[:, 2], 0)


def test_a_mirrored_hand_is_the_same_hand() -> None:
    mirrored = open_hand() * (-1, 1)
    np.testing.assert_allclose(chains(mirrored), chains(open_hand()))


def test_swapped_fingers_turn_backwards() -> None:
    points = open_hand()
    points[[9, 10, 11, 12, 13, 14, 15, 16]] = points[[13, 14, 15, 16, 9, 10, 11, 12]]
    assert chains(points)[2, 1] == pytest.approx(-chains(open_hand())[2, 1])
    assert not passes(points)[2]


def test_a_bend_is_what_goes_back_again() -> None:
    points = open_hand()
    # the index finger goes up, 90 degrees to the right, then 30 back to the left
    points[7] = points[6] + (10, 0)
    points[8] = points[7] + (10 * np.cos(np.radians(30)), -10 * np.sin(np.radians(30)))
    assert chains(points)[1, 2] == pytest.approx(30)
    points[8] = points[7] + (10 * np.cos(np.radians(30)), 10 * np.sin(np.radians(30)))
    assert chains(points)[1, 2] == 0  # both to the right: a finger that curls


def test_a_stretched_finger_fails_alone() -> None:
    """Tips that fly off and fingers of no length are outside every limit; the other fingers are judged on their own."""
    assert five_fingers(open_hand())
    short = open_hand()
    short[18:21] = short[17]
    assert passes(short).tolist() == [True, True, True, True, False]


def test_the_limits_are_those_of_the_script() -> None:
    derived = json.loads(RESULTS.read_text())
    assert [derived["limits"][name] for name in NAMES] == np.array(LIMITS).tolist()
    assert derived["n"] >= 2000 and 0.5 < derived["hands_inside"] < 0.95
