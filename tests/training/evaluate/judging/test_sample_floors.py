"""The embedded model of `handfirst sample` draws hands that their own annotation explains, and hears its classes; and
the figures that the results name are its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import handfirst
from handfirst.engines.bundle import Bundle, embedded_bundle_path
from handfirst.runtime.systems.annotated.request import SampleRequest

RESULTS = Path(__file__).parents[4] / "benchmarks" / "results"
SEEDS = range(500, 506)


@pytest.fixture(scope="module")
def drawn():
    """By class, its pictures with their annotations."""
    model = handfirst.open(embedded_bundle_path("sample"), engine="cpu", threads=1)
    asked = {label: [SampleRequest(label=label, seed=seed) for seed in SEEDS] for label in ("two_up", "clasped")}
    found = {label: model.render_batch(requests) for label, requests in asked.items()}
    model.close()
    return found


def test_an_annotation_explains_itself(drawn) -> None:
    assert np.mean([result.consistency for results in drawn.values() for result in results]) > CONSISTENT


CONSISTENT = 0.15
"""Least mean consistency; noise has none, true annotations of this size have about .9, and these about .25."""


def test_two_fingers_up_are_longer_than_clasped_hands(drawn) -> None:
    """How much longer than wide what the annotations show is, by the main axes of its pixels."""
    longer = {}
    for label, results in drawn.items():
        shown = [np.stack(np.nonzero(result.annotation.max(-1) > 25)) for result in results]
        widths = [np.sqrt(np.linalg.eigvalsh(np.cov(places))) for places in shown]
        longer[label] = np.mean([most / least for least, most in widths])
    assert longer["two_up"] > 1.25 * longer["clasped"]


def test_the_results_are_those_of_the_embedded_bundle() -> None:
    assert json.loads((RESULTS / "annotated.json").read_text())["embedded"] == Bundle.open("sample").digest
