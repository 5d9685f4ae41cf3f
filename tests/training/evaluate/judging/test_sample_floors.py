"""The embedded model of `handfirst sample` draws hands that their own annotation explains, and hears its classes; and
the figures that the results name are its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import handfirst
from handfirst.engines.bundle import Bundle, embedded_bundle_path
from handfirst.runtime.systems.annotated.recover import recover
from handfirst.runtime.systems.annotated.request import SampleRequest

RESULTS = Path(__file__).parents[4] / "benchmarks" / "results"
SEEDS = range(500, 506)
TIPS, WRIST, KNUCKLE = [8, 12, 16, 20], 0, 9


@pytest.fixture(scope="module")
def drawn():
    """By class, its pictures with their annotations."""
    model = handfirst.open(embedded_bundle_path("sample"), engine="cpu", threads=1)
    asked = {label: [SampleRequest(label=label, seed=seed) for seed in SEEDS] for label in ("palm", "fist")}
    found = {label: model.render_batch(requests) for label, requests in asked.items()}
    model.close()
    return found


def test_an_annotation_explains_itself(drawn) -> None:
    assert np.mean([result.consistency for results in drawn.values() for result in results]) > CONSISTENT


CONSISTENT = 0.4
"""Least mean consistency; a true annotation of this size has about .9, noise has none."""


def test_fingers_of_an_open_hand_reach_further_than_those_of_a_fist(drawn) -> None:
    """Mean distance of the four fingertips from the wrist, in lengths of the palm, as the annotation has them."""
    reach = {}
    for label, results in drawn.items():
        points = [hand.points for result in results for hand in recover(result.annotation, "channels")]
        lengths = [
            np.linalg.norm(each[TIPS] - each[WRIST], axis=1) / max(float(np.hypot(*(each[KNUCKLE] - each[WRIST]))), 1.0)
            for each in points
        ]
        reach[label] = float(np.nanmedian(lengths))
    assert reach["palm"] > 1.2 * reach["fist"]


def test_the_results_are_those_of_the_embedded_bundle() -> None:
    assert json.loads((RESULTS / "annotated.json").read_text())["embedded"] == Bundle.open("sample").digest
