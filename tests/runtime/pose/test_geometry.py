"""Crops, heat maps, skeleton and view against formulas by hand, torch and rendered hands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.runtime.geometry import Similarity
from handfirst.runtime.pose.crop import boxes_meet, hand_crops
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.skeleton import draw_skeleton, hint, openpose_body
from handfirst.runtime.pose.view import hand_view, hand_words
from handfirst.runtime.systems.two_stage.condition import condition, finger_maps, fold, reduce_bilinear
from handfirst.runtime.systems.two_stage.settings import ConditionSettings, HandSettings
from handfirst.training.data.procedural.sample import sample_hand

FINITE = st.floats(-500, 500)
MAPS = st.builds(Similarity, st.floats(0.05, 20), FINITE, FINITE)


def person(**hands: np.ndarray) -> Person:
    points = np.full((133, 2), np.nan)
    for side, value in hands.items():
        points[slice(91, 112) if side == "left" else slice(112, 133)] = value
    return Person(points, np.isfinite(points[:, 0]).astype(float))


def square(x: float, y: float, side: float) -> np.ndarray:
    """21 points whose box is the given square."""
    points = np.random.default_rng(0).uniform(0, side, (21, 2))
    points[0], points[1] = 0, side
    return points + np.array([x, y])


@settings(max_examples=80, deadline=None)
@given(MAPS, MAPS, st.tuples(FINITE, FINITE))
def test_similarities_invert_and_compose(a: Similarity, b: Similarity, point: tuple[float, float]) -> None:
    p = np.array(point)
    np.testing.assert_allclose(a.inverse().apply(a.apply(p)), p, atol=1e-5 * max(1, 1 / a.scale) * 100)
    np.testing.assert_allclose(a.then(b).apply(p), b.apply(a.apply(p)), rtol=1e-9, atol=1e-6)


def test_a_crop_by_hand() -> None:
    """A 100 px hand at (200, 300) in a 512 canvas: a 150 px square around (250, 350), 512 / 150 times enlarged."""
    (crop,) = hand_crops(person(left=square(200, 300, 100)), HandSettings(), 512, 512)
    assert crop.sides == ("left",) and crop.side_px == pytest.approx(150)
    np.testing.assert_allclose(crop.similarity.apply(np.array([250.0, 350.0])), [256, 256])
    np.testing.assert_allclose(crop.similarity.apply(np.array([175.0, 275.0])), [0, 0], atol=1e-9)


def test_small_hands_get_the_least_crop_and_crops_may_leave_the_canvas() -> None:
    (crop,) = hand_crops(person(right=square(-5, 0, 10)), HandSettings(), 512, 512)
    assert crop.sides == ("right",) and crop.side_px == pytest.approx(64)
    assert crop.similarity.inverse().apply(np.zeros(2))[0] < 0


def test_meeting_hands_share_a_crop() -> None:
    apart = hand_crops(person(left=square(300, 100, 80), right=square(100, 100, 80)), HandSettings(), 512, 512)
    assert [c.sides for c in apart] == [("left",), ("right",)]
    (both,) = hand_crops(person(left=square(170, 100, 80), right=square(100, 100, 80)), HandSettings(), 512, 512)
    assert both.sides == ("left", "right") and both.side_px == pytest.approx(1.5 * 150)
    assert boxes_meet(np.array([0, 0, 1, 1.0]), np.array([1, 1, 2, 2.0]))
    assert not boxes_meet(np.array([0, 0, 1, 1.0]), np.array([1.1, 0, 2, 2.0]))


def test_few_points_are_no_hand() -> None:
    points = square(100, 100, 50)
    points[5:] = np.nan
    assert hand_crops(person(left=points), HandSettings(), 512, 512) == ()


def test_heat_maps_by_hand() -> None:
    settings_ = ConditionSettings(grid=16, sigma=0.05, amplitude=tuple(0.4 + 0.03 * i for i in range(21)))
    points = np.random.default_rng(1).uniform(10, 110, (21, 2))
    points[7] = np.nan
    maps = finger_maps(None, points, 128, settings_)
    assert not maps[:5].any()
    for finger in range(5):
        for y, x in ((20, 30), (64, 64), (100, 17)):
            by_hand = 0.0
            for j in [0, *range(1 + 4 * finger, 5 + 4 * finger)]:
                if j != 7:
                    d2 = (x + 0.5 - points[j, 0]) ** 2 + (y + 0.5 - points[j, 1]) ** 2
                    by_hand = max(by_hand, settings_.amplitude[j] * np.exp(-d2 / (0.05 * 128) ** 2))
            assert maps[5 + finger, y, x] == pytest.approx(by_hand, abs=1e-7)


def test_the_wrist_can_be_left_out() -> None:
    points = np.full((21, 2), np.nan)
    points[0] = 64
    assert finger_maps(points, None, 128, ConditionSettings()).any(axis=(1, 2)).tolist() == [True] * 5 + [False] * 5
    assert not finger_maps(points, None, 128, ConditionSettings(wrist=False)).any()


@pytest.mark.parametrize("grid", [8, 16, 24, 48])
def test_reduction_and_folding_equal_torch(grid: int) -> None:
    maps = np.random.default_rng(2).random((11, 48, 48)).astype(np.float32)
    torchs = F.interpolate(torch.from_numpy(maps)[None], size=(grid, grid), mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(reduce_bilinear(maps, grid), torchs.numpy(), atol=1e-6)
    np.testing.assert_array_equal(fold(maps, 4), F.pixel_unshuffle(torch.from_numpy(maps), 4).numpy())


def test_the_condition_of_stable_diffusion_has_eleven_channels_and_the_demos_are_folded() -> None:
    points = np.random.default_rng(3).uniform(0, 128, (21, 2))
    mask = np.zeros((512, 512), np.float32)
    mask[100:300, 50:90] = 1
    full = condition(points, None, mask, 512, ConditionSettings(), 8)
    assert full.shape == (11, 64, 64) and full[10].sum() * 64 == pytest.approx(mask.sum(), rel=0.1)
    folded = condition(points, None, None, 128, ConditionSettings(grid=32, fold=2), 8)
    assert folded.shape == (44, 16, 16) and not folded[40:].any()


def test_fit_keeps_proportions_and_centres() -> None:
    p = person(left=square(0, 0, 50))
    fitted = Pose((p,), 100, 50).fit(64, 64)
    np.testing.assert_allclose(fitted.people[0].left_hand, p.left_hand * 0.64 + [0, 16])


def test_skeleton_colours_by_hand() -> None:
    points = np.full((133, 2), np.nan)
    points[5], points[6], points[8] = (400, 100), (100, 100), (100, 400)
    points[91] = (300, 300)
    pose = Pose((Person(points, np.isfinite(points[:, 0]).astype(float)),), 512, 512)
    image = draw_skeleton(pose, 512, 512)
    np.testing.assert_allclose(openpose_body(points[:17])[1], [250, 100])
    assert image[250, 100].tolist() == [int(v * 0.6) for v in (255, 170, 0)]  # right upper arm, the third limb
    assert image[400, 100].tolist() == [255, 255, 0]  # right elbow, the fourth... of OpenPose's order
    assert image[300, 300].tolist() == [0, 0, 255]  # a hand's point
    assert not draw_skeleton(Pose((), 64, 64), 64, 64).any()


def test_the_hint_says_where_to_paint() -> None:
    kept = np.zeros((64, 64), np.bool_)
    kept[:8] = True
    out = hint(Pose((), 64, 64), kept, 64, 64)
    assert out.shape == (4, 64, 64) and out.dtype == np.float32
    assert not out[3, :8].any() and (out[3, 8:] == 1).all()


@pytest.mark.parametrize("view", ["palm", "back"])
def test_the_view_of_rendered_hands(view: str) -> None:
    right = 0
    for seed in range(16):
        sample = sample_hand(900_000 + seed, 32, view=view, supersample=1)
        side = sample.attributes["side"]
        points = sample.keypoints[91:112] if side == "left" else sample.keypoints[112:]
        found = hand_view(points[:, :2].astype(float), "left" if side == "left" else "right")
        if sample.attributes["facing"] == view:
            assert found in (view, "side")
            right += found == view
    assert right >= 10


def test_an_edge_on_or_unknown_palm_is_seen_from_the_side() -> None:
    flat = np.stack([np.arange(21.0), np.arange(21.0)], 1)
    assert hand_view(flat, "left") == "side"
    flat[5] = np.nan
    assert hand_view(flat, "left") == "side"
    crop = hand_crops(person(left=square(0, 0, 50)), HandSettings(), 512, 512)[0]
    assert hand_words(person(left=square(0, 0, 50)), crop).endswith(" of a left hand")
