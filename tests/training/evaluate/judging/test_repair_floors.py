"""The embedded repair bundle mends what is spoilt: floors on spoilt renders that no training has seen; and the figures
that the results name are its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import handfirst
from handfirst.engines.bundle import Bundle, embedded_bundle_path
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.systems.part_refiner.request import RepairRequest
from handfirst.training.data.procedural.malformed import draw_faults
from handfirst.training.data.procedural.twice import sample_pair
from handfirst.training.data.record import to_person

RESULTS = Path(__file__).parents[4] / "benchmarks" / "results"
SIZE, FIRST = 128, 87_000_000
SEEDS = [FIRST + number for number in (0, 1, 2, 3)]


@pytest.fixture(scope="module")
def model():
    return handfirst.open(embedded_bundle_path("repair"), engine="cpu", threads=1)


def test_spoilt_hands_come_nearer_to_the_true_ones_and_nothing_else_changes(model):
    errors = []
    for seed in SEEDS:
        true = sample_pair(seed, SIZE, same=True, faults=draw_faults(np.random.default_rng(seed)))
        spoilt = true.other.rgb
        request = RepairRequest(spoilt, Pose((to_person(true.keypoints),), SIZE, SIZE), seed=1)
        result = model.render(request)
        np.testing.assert_array_equal(result.image[~result.mask], spoilt[~result.mask])
        wrong = np.abs(spoilt.astype(int) - true.rgb).max(-1) > 24
        assert wrong.any()
        errors.append([np.abs(each.astype(int) - true.rgb)[wrong].mean() for each in (spoilt, result.image)])
    before, after = np.mean(errors, 0)
    assert after < WRONG * before


WRONG = 0.8
"""Most of the error of spoilt pixels that may be left."""


def test_the_results_are_those_of_the_embedded_bundle():
    told = json.loads((RESULTS / "repair.json").read_text())
    assert told["bundles"]["refiner"] == Bundle.open("repair").digest
