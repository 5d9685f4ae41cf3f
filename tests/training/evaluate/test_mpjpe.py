"""MPJPE by hand."""

from __future__ import annotations

import numpy as np
import pytest
from support.evaluation import CANVAS, Scene, as_cases, as_detections

from handfirst.training.evaluate.pose_scores import pose_measures, pose_scores, position_error


def test_distances_are_in_units_of_the_sides() -> None:
    true = np.array([[[100.0, 100.0], [50.0, 60.0], [np.nan, np.nan], [10.0, 10.0]]])
    found = np.array([[[140.0, 115.0], [50.0, 60.0], [1.0, 1.0], [np.nan, np.nan]]])
    error = position_error(found, true, np.ones((1, 1)), width=400, height=200)
    assert error.total == pytest.approx(np.hypot(40 / 400, 15 / 200))
    assert (error.found, error.true) == (2, 3)


def test_each_true_person_has_one_found() -> None:
    true = np.array([[[0.0, 0.0]], [[100.0, 0.0]]])
    found = np.array([[[90.0, 0.0]], [[10.0, 0.0]], [[500.0, 0.0]]])
    similarity = np.array([[0.1, 0.9], [0.8, 0.2], [0.0, 0.0]])
    assert position_error(found, true, similarity, 100, 100).total == pytest.approx(0.1 + 0.1)


def test_nobody_found() -> None:
    true = np.zeros((1, 5, 2))
    error = position_error(np.zeros((0, 5, 2)), true, np.zeros((0, 1)), 10, 10)
    assert (error.total, error.found, error.true) == (0.0, 0, 5)


def test_pooled_over_pictures_with_a_price_on_missing_points() -> None:
    """Two pictures: all hand points 41 px off, and none found."""
    true = np.full((1, 133, 2), np.nan)
    true[0, 91:133] = np.random.default_rng(0).uniform(1000, 2000, (42, 2))
    scenes = [
        Scene(true, true + np.array([40.96, 0]), np.array([0.9])),
        Scene(true, np.zeros((0, 133, 2)), np.zeros(0)),
    ]
    measures = pose_measures(pose_scores(as_cases(scenes), as_detections(scenes), "hands"))
    values = {m.name: m.statistic(np.ones(2)) for m in measures}
    assert values["mpjpe_hands"] == pytest.approx(40.96 / CANVAS)
    assert values["mpjpe_hands_penalised"] == pytest.approx((0.01 + 1) / 2)
    assert values["found_hands"] == pytest.approx(0.5)
