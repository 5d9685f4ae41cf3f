"""How well a detector sees the hands that are wanted: against the formula, worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfirst.runtime.pose import detect
from handfirst.runtime.pose.detect import NEAR, hand_likeness, nearness

HAND = np.random.default_rng(0).uniform(20, 80, (21, 2))
SIDE = float(np.ptp(HAND, 0).max())
PICTURE = np.zeros((100, 200, 3), np.uint8)


def found(*hands: tuple[float, np.ndarray]) -> SimpleNamespace:
    """As MediaPipe Hands answers: points in parts of the picture's sides."""
    height, width = PICTURE.shape[:2]
    landmarks = [
        SimpleNamespace(landmark=[SimpleNamespace(x=x / width, y=y / height) for x, y in points]) for _, points in hands
    ]
    sure = [SimpleNamespace(classification=[SimpleNamespace(score=score)]) for score, _ in hands]
    return SimpleNamespace(multi_handedness=sure or None, multi_hand_landmarks=landmarks or None)


def likeness(
    monkeypatch: pytest.MonkeyPatch, seen: Sequence[tuple[float, np.ndarray]], wanted: Sequence[np.ndarray]
) -> float:
    monkeypatch.setattr(detect, "_hands", lambda _: found(*seen))
    return hand_likeness(PICTURE, wanted)


@given(st.floats(0, 5), st.floats(0, 2 * np.pi), st.floats(0.1, 50), st.integers(0, 20))
def test_nearness_falls_as_a_bell_whose_width_is_a_part_of_the_hand(
    far: float, angle: float, scale: float, missing: int
) -> None:
    wanted = HAND * scale
    moved = wanted + far * NEAR * SIDE * scale * np.array([np.cos(angle), np.sin(angle)])
    assert nearness(moved, wanted) == pytest.approx(np.exp(-(far**2) / 2), abs=1e-9)
    some = wanted.copy()
    some[missing] = np.nan  # what is not known is not counted
    side = np.ptp(np.delete(wanted, missing, 0), 0).max()
    assert nearness(moved, some) == pytest.approx(np.exp(-((far * SIDE * scale / side) ** 2) / 2), abs=1e-9)


def test_a_hand_without_known_points_is_like_nothing() -> None:
    assert nearness(HAND, np.full((21, 2), np.nan)) == 0
    assert nearness(HAND, np.full((21, 2), 5.0)) < 1e-9  # all points in one place: measured by a pixel


def test_of_what_is_seen_the_best_counts_and_of_what_is_wanted_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = HAND + np.array([0.2 * SIDE, 0])
    away = np.exp(-2)
    assert likeness(monkeypatch, [(0.9, HAND)], [HAND]) == pytest.approx(0.9)
    assert likeness(monkeypatch, [(0.9, elsewhere), (0.5, HAND)], [HAND]) == pytest.approx(0.5)
    assert likeness(monkeypatch, [(0.9, elsewhere)], [HAND]) == pytest.approx(0.9 * away)
    assert likeness(monkeypatch, [(0.8, HAND)], [HAND, elsewhere]) == pytest.approx(0.8 * (1 + away) / 2)


def test_without_wanted_points_the_surest_hand_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert likeness(monkeypatch, [(0.6, HAND), (0.7, HAND)], []) == pytest.approx(0.7)


@pytest.mark.parametrize("wanted", [[], [HAND]])
def test_where_no_hand_is_seen_it_is_nothing(monkeypatch: pytest.MonkeyPatch, wanted: list[np.ndarray]) -> None:
    assert likeness(monkeypatch, [], wanted) == 0
