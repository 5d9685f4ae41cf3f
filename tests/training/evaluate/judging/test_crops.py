"""KID of crops: by hand, against torchmetrics, and over resampled pictures."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.image.kid import KernelInceptionDistance

from handfirst.training.evaluate.distances import Given
from handfirst.training.evaluate.inception import InceptionFront
from handfirst.training.evaluate.judging.crops import (
    CROP_SIZE,
    distance_rows,
    hand_crops_of,
    kid_measure,
    kid_of_halves,
)
from handfirst.training.evaluate.judging.held_out import held_out, render
from handfirst.training.evaluate.judging.looks import whole_hands
from handfirst.training.evaluate.measure import figure
from handfirst.training.evaluate.score import Sampling


def test_two_crops_by_hand() -> None:
    """One feature; kernel (xy + 1)^3. Made 1, 2 against true 0, 1: 27 + 1 - 2 (1 + 8 + 1 + 27) / 4 = 9.5."""
    kid = kid_measure(np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]]), np.array([0, 1]), 2)
    assert kid.statistic(np.ones(2)) == pytest.approx(9.5)


def test_all_pairs_are_what_torchmetrics_takes_of_one_subset_of_all() -> None:
    rng = np.random.default_rng(0)
    made, true = rng.normal(0.2, 1, (20, 6)), rng.normal(0, 1.2, (20, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = KernelInceptionDistance(feature=Given(6), subsets=1, subset_size=20)
        metric.update(torch.from_numpy(true), real=True)
        metric.update(torch.from_numpy(made), real=False)
        reference = float(metric.compute()[0])
    kid = kid_measure(made, true, np.arange(20) // 2, 10)
    assert kid.statistic(np.ones(10)) == pytest.approx(reference, abs=1e-9)


def test_a_picture_drawn_twice_adds_no_pair_of_a_crop_with_itself() -> None:
    """Equal distributions have a KID of 0, and so have their resampled pictures on average."""
    rng = np.random.default_rng(1)
    kid = kid_measure(rng.normal(0, 1, (300, 3)), rng.normal(0, 1, (300, 3)), np.arange(300) // 2, 150)
    whole = kid.statistic(np.ones(150))
    drawn = [kid.statistic(np.bincount(rng.integers(0, 150, 150), minlength=150).astype(float)) for _ in range(200)]
    assert np.mean(drawn) == pytest.approx(whole, abs=3 * np.std(drawn) / np.sqrt(200))
    value = figure(kid.statistic, kid.counts, np.arange(150), 100, 0)
    assert value is not None and value.n == 300


def test_halves_share_no_picture() -> None:
    """Features 0 in pictures 0 and 2, 1 in 1 and 3: k(0,0) + k(1,1) - 2 k(0,1) = 1 + 8 - 2."""
    owner = np.array([0, 1, 2, 3])
    halves = kid_of_halves((owner % 2).astype(np.float64)[:, None], owner, 4)
    assert halves.statistic(np.ones(4)) == pytest.approx(7)


def test_rows_are_those_of_the_features_of_the_saved_crops(tmp_path) -> None:
    """Random weights in the published layout, four crops a side; FID needs 2,000."""
    torch.manual_seed(0)
    network = InceptionFront()
    weights = tmp_path / "weights.pth"
    torch.save(network.state_dict(), weights)
    rng, features = np.random.default_rng(0), {}
    for name in ("made", "true"):
        (tmp_path / name).mkdir()
        pictures = rng.integers(0, 256, (4, 12, 12, 3), dtype=np.uint8)
        for i, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / name / f"person-00{i // 2}-{i % 2}.png")
        with torch.no_grad():
            features[name] = network(torch.from_numpy(pictures).permute(0, 3, 1, 2)).double().numpy()
    keys = ["hand-000", "person-000", "person-001"]  # hands' pictures have no crops
    kid, fid = distance_rows(tmp_path, keys, ("two-stage", "d"), weights, Sampling(0), lambda *_: None)
    expected = kid_measure(features["made"], features["true"], np.array([1, 1, 2, 2]), 3).statistic(np.ones(3))
    assert kid.value == pytest.approx(expected, rel=1e-3) and kid.n == 4
    assert fid.value is None and fid.why == "2000 crops are the least, there are 4"


def test_crops_are_of_whole_hands_alone() -> None:
    sample = render(held_out(people=1, hands=0)[0], 96)
    crops = hand_crops_of(sample.rgb, sample)
    assert len(crops) == len(whole_hands(sample)) > 0
    assert {crop.shape for crop in crops} == {(CROP_SIZE, CROP_SIZE, 3)}


def test_without_weights_the_rows_say_what_to_do(tmp_path) -> None:
    rows = distance_rows(tmp_path, ["person-000"], ("two-stage", "d"), None, Sampling(), lambda *_: None)
    assert [row.metric for row in rows] == ["kid_hands", "fid_hands"]
    assert all(row.value is None and "--inception" in str(row.why) for row in rows)
