"""OKS and DAP against pycocotools on the same numbers: several people, missing points, ties, subsets."""

from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from support.evaluation import Scene, as_cases, as_detections, random_scenes

from handfirst.training.evaluate.average_precision import PARTS, SIGMAS, Part, average_precision, box_area, oks
from handfirst.training.evaluate.pose_scores import pose_measures, pose_scores


def flat(points: np.ndarray, visible: float) -> list[float]:
    known = np.isfinite(points).all(1)
    return np.concatenate([np.where(known[:, None], points, 0), visible * known[:, None]], 1).ravel().tolist()


def cocotools(scenes: list[Scene], chosen: np.ndarray) -> COCOeval:
    """COCOeval over `chosen` of the 133 points, with the area of the box of all of them."""
    images, truths, finds = [], [], []
    for i, scene in enumerate(scenes):
        images.append({"id": i + 1, "width": 4096, "height": 4096})
        for person in scene.true:
            low, high = np.nanmin(person, 0), np.nanmax(person, 0)
            truths.append(
                {
                    "id": len(truths) + 1, "image_id": i + 1, "category_id": 1, "iscrowd": 0,
                    "area": float(np.prod(high - low)), "bbox": [*low.tolist(), *(high - low).tolist()],
                    "keypoints": flat(person[chosen], 2.0),
                    "num_keypoints": int(np.isfinite(person[chosen]).all(1).sum()),
                }
            )  # fmt: skip
        for person, score in zip(scene.found, scene.scores, strict=True):
            finds.append(
                {"image_id": i + 1, "category_id": 1, "keypoints": flat(person[chosen], 1.0), "score": float(score)}
            )
    truth = COCO()
    truth.dataset = {"images": images, "annotations": truths, "categories": [{"id": 1, "name": "person"}], "info": {}}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(finds), "keypoints")
        evaluation.params.kpt_oks_sigmas = SIGMAS[chosen]
        evaluation.params.maxDets = [20]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


@pytest.mark.parametrize("part", ["whole", "hands"])
@pytest.mark.parametrize(("seed", "crowd"), [(0, 1), (1, 1), (2, 4)])
def test_dap_is_that_of_cocoeval(part: Part, seed: int, crowd: int) -> None:
    scenes = random_scenes(np.random.default_rng(seed), 40, crowd)
    scores = pose_scores(as_cases(scenes), as_detections(scenes), part)
    reference = cocotools(scenes, PARTS[part]).eval["precision"][:, :, 0, 0, 0].mean(1)
    assert 0.02 < reference.mean() < 0.95
    np.testing.assert_allclose(scores.curve(), reference, atol=1e-9)
    dap = pose_measures(scores)[0]
    assert dap.statistic(np.ones(40)) == pytest.approx(reference.mean(), abs=1e-9)


def test_similarity_is_that_of_cocoeval() -> None:
    scenes = random_scenes(np.random.default_rng(5), 12, 3)
    evaluation = cocotools(scenes, PARTS["hands"])
    compared = 0
    for i, scene in enumerate(scenes):
        reference = evaluation.ious[i + 1, 1]
        if len(scene.found):
            order = np.argsort(-scene.scores, kind="stable")
            hands = PARTS["hands"]
            ours = oks(scene.found[order][:, hands], scene.true[:, hands], box_area(scene.true), SIGMAS[hands])
            np.testing.assert_allclose(ours, reference, atol=1e-12)
            compared += 1
    assert compared > 6


def test_a_picture_drawn_twice_counts_as_two() -> None:
    """Weights are what COCOeval gives when pictures are repeated: what the bootstrap rests on."""
    scenes = random_scenes(np.random.default_rng(8), 15)
    drawn = np.random.default_rng(1).integers(0, 15, 15)
    scores = pose_scores(as_cases(scenes), as_detections(scenes), "whole")
    weighted = average_precision(scores.matches, np.bincount(drawn, minlength=15).astype(float))
    repeated = [scenes[i] for i in sorted(drawn)]
    reference = cocotools(repeated, PARTS["whole"]).eval["precision"][:, :, 0, 0, 0].mean(1)
    np.testing.assert_allclose(weighted, reference, atol=1e-9)


def test_one_point_by_hand() -> None:
    """A wrist one sigma-length off: exp(-d^2 / (2 area (2 sigma)^2))."""
    true = np.full((1, 133, 2), np.nan)
    true[0, [9, 10]] = [[100, 100], [200, 300]]
    found = true.copy()
    found[0, 9] += [3, 4]
    area = 100.0 * 200.0
    assert box_area(true)[0] == area
    expected = (math.exp(-25 / (2 * area * (2 * 0.062) ** 2)) + 1) / 2
    assert oks(found, true, np.array([area]), SIGMAS)[0, 0] == pytest.approx(expected, rel=1e-12)


def test_the_body_sigmas_are_cocos() -> None:
    np.testing.assert_allclose(SIGMAS[:17], COCOeval(iouType="keypoints").params.kpt_oks_sigmas)
    assert SIGMAS.shape == (133,)
    np.testing.assert_array_equal(SIGMAS[91:112], SIGMAS[112:])


def test_points_that_a_detector_cannot_find_do_not_count() -> None:
    scenes = random_scenes(np.random.default_rng(3), 6)
    for scene in scenes:
        scene.found = scene.true.copy()
        scene.scores = np.full(len(scene.true), 0.5)
        scene.found[:, [18, 21]] = np.nan
    cases = as_cases(scenes)
    without = tuple(i for i in range(133) if i not in (18, 21))
    found = pose_measures(pose_scores(cases, as_detections(scenes, without), "whole"))[3]
    assert found.name == "found" and found.statistic(np.ones(6)) == 1.0
    all_points = pose_measures(pose_scores(cases, as_detections(scenes), "whole"))[3]
    true = sum(np.isfinite(s.true).all(-1).sum() for s in scenes)
    missed = sum(np.isfinite(s.true[:, [18, 21]]).all(-1).sum() for s in scenes)
    assert all_points.statistic(np.ones(6)) == pytest.approx((true - missed) / true)
