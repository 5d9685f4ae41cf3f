"""The canvas against block means, OpenCV and formulas by hand."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt
from support.cut_crops import cut

from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.systems.two_stage.canvas import Canvas, clean_mask, without_rim
from handfirst.runtime.systems.two_stage.settings import BodySettings

BODY = BodySettings(height=64, width=80)
IDENTITY = Similarity(1.0, 0.0, 0.0)


def picture(size, seed=0, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (size, size, channels), dtype=np.uint8)


@dataclass
class Crop:
    similarity: Similarity


@dataclass
class Hand:
    crop: Crop
    image: np.ndarray
    mask: np.ndarray
    bones: np.ndarray | None = None


def test_empty_is_uniform_grey():
    canvas = Canvas.empty(BODY)
    assert canvas.image.shape == (64, 80, 3)
    assert canvas.image.dtype == np.uint8
    assert (canvas.image == 128).all()
    assert not canvas.mask.any()
    assert (Canvas.empty(BodySettings(height=64, width=64, background=1.0)).image == 255).all()


def test_identity_is_identity():
    image = picture(64)
    np.testing.assert_array_equal(warp(image, IDENTITY, 64, 64), image)


def test_a_square_lands_on_its_very_pixels():
    """Crop pixels [8, 24) x [16, 20) under u = 2 x - 20, v = 2 y - 40 are canvas pixels [14, 22) x [28, 30)."""
    image = np.zeros((32, 32, 3), np.uint8)
    mask = np.zeros((32, 32), bool)
    image[16:20, 8:24], mask[16:20, 8:24] = (10, 200, 30), True
    canvas = Canvas.empty(BODY).place(image, mask, Similarity(2.0, -20.0, -40.0))
    wanted = np.zeros((64, 80), bool)
    wanted[28:30, 14:22] = True
    np.testing.assert_array_equal(canvas.mask, wanted)
    assert (canvas.image[wanted] == (10, 200, 30)).all()
    assert (canvas.image[~wanted] == 128).all()


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_shrinking_by_a_whole_factor_is_the_block_mean(factor):
    size = 24 * factor
    image = picture(size)
    blocks = image.reshape(24, factor, 24, factor, 3).mean((1, 3))
    np.testing.assert_allclose(warp(image, Similarity(float(factor), 0, 0), 24, 24), blocks, atol=1e-9)


@pytest.mark.parametrize(("source", "target"), [(96, 64), (100, 37), (51, 50)])
def test_shrinking_by_any_factor_is_opencvs_area_mean(source, target):
    image = picture(source).astype(np.float32)
    reference = cv2.resize(image, (target, target), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(warp(image, Similarity(source / target, 0, 0), target, target), reference, atol=2e-3)


@pytest.mark.parametrize(("source", "target"), [(16, 64), (20, 33), (50, 51)])
def test_growing_is_opencvs_bilinear(source, target):
    image = picture(source)
    reference = cv2.resize(image.astype(np.float64), (target, target), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(warp(image, Similarity(source / target, 0, 0), target, target), reference, atol=1e-3)


@pytest.mark.parametrize("scale", [0.4, 0.75, 1.0])
def test_growing_and_moving_is_opencvs_affine_map(scale):
    """OpenCV's pixel centres lie at whole numbers, ours at halves: its offset is d + (scale - 1) / 2."""
    image = cv2.GaussianBlur(picture(40).astype(np.float64), (0, 0), 2)
    dx, dy = 3.3, -5.7
    shift = (scale - 1) / 2
    matrix = np.array([[scale, 0, dx + shift], [0, scale, dy + shift]])
    reference = cv2.warpAffine(image, matrix, (60, 60), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    ours = warp(image, Similarity(scale, dx, dy), 60, 60)
    centres = np.stack(np.meshgrid(np.arange(60), np.arange(60)), -1) + 0.5
    seen = Similarity(scale, dx, dy).apply(centres)
    inside = ((seen >= 1) & (seen <= 39)).all(-1)
    assert inside.sum() > 500
    assert np.abs(ours - reference)[inside].max() < 1.0  # OpenCV rounds positions to 1/32 of a pixel


def test_the_area_mean_meets_the_bilinear_value_at_scale_one():
    image = picture(32)
    above, below = (warp(image, Similarity(s, 0.3, 0.6), 30, 30) for s in (1 + 1e-9, 1 - 1e-9))
    np.testing.assert_allclose(above, below, atol=1e-4)


def test_outside_the_input_there_is_nothing():
    ones = np.ones((8, 8))
    out = warp(ones, Similarity(1.0, -4.0, -6.0), 20, 20)
    wanted = np.zeros((20, 20))
    wanted[6:14, 4:12] = 1
    np.testing.assert_array_equal(out, wanted)
    assert not warp(ones, Similarity(1.0, 100.0, 0.0), 20, 20).any()


def test_a_crop_may_leave_the_canvas():
    image, mask = picture(32), np.ones((32, 32), bool)
    canvas = Canvas.empty(BODY).place(image, mask, Similarity(1.0, 10.0, 20.0))
    np.testing.assert_array_equal(canvas.image[:12, :22], image[20:, 10:])
    assert canvas.mask[:12, :22].all()
    assert canvas.mask.sum() == 12 * 22


def test_build_unites_masks_and_the_later_hand_is_in_front():
    red, blue = np.full((16, 16, 3), (255, 0, 0), np.uint8), np.full((16, 16, 3), (0, 0, 255), np.uint8)
    full = np.ones((16, 16), bool)
    hands = [
        Hand(Crop(Similarity(1.0, -10.0, -10.0)), red, full),
        Hand(Crop(Similarity(1.0, -20.0, -10.0)), blue, full),
    ]
    canvas = Canvas.build(hands, BODY)
    assert (canvas.image[10:26, 10:20] == (255, 0, 0)).all()
    assert (canvas.image[10:26, 20:36] == (0, 0, 255)).all()
    assert canvas.mask.sum() == 16 * 26
    empty = Canvas.build([], BODY)
    assert not empty.mask.any()


@given(seed=st.integers(0, 99), rim=st.floats(0.5, 4), beyond=st.floats(0, 6))
def test_a_rim_has_the_colour_of_a_nearest_pixel_further_in(seed, rim, beyond):
    """Against scipy's exact distances: every pixel's place is its colour, so a colour says where it came from."""
    size = 40
    rows, columns = np.mgrid[:size, :size]
    image = np.stack([rows, columns, np.zeros_like(rows)], -1).astype(np.uint8)
    mask = cv2.GaussianBlur(np.random.default_rng(seed).random((size, size)), (0, 0), 5) > 0.5
    inside = mask & (distance_transform_edt(mask) > rim)
    shown = without_rim(image, mask, rim, beyond)
    if not inside.any():
        np.testing.assert_array_equal(shown, image)
        return
    distance = distance_transform_edt(~inside)
    changed = distance <= rim + beyond + 1
    np.testing.assert_array_equal(shown[~changed], image[~changed])
    came = shown[changed][:, :2].astype(int)
    assert inside[tuple(came.T)].all()
    np.testing.assert_allclose(np.linalg.norm(came - np.argwhere(changed), axis=1), distance[changed])


def test_a_rim_that_shines_through_does_not_reach_the_canvas():
    mask = np.zeros((32, 32), bool)
    mask[8:24, 8:24] = True
    image = np.zeros((32, 32, 3), np.uint8)
    image[10:22, 10:22] = 255
    hand = Hand(Crop(Similarity(2.0, -21.0, -21.0)), image, mask)
    as_it_is, clean = (Canvas.build([hand], BODY.model_copy(update={"rim": rim})) for rim in (0.0, 2 / 32))
    np.testing.assert_array_equal(clean.mask, as_it_is.mask)
    assert as_it_is.image[as_it_is.mask].min() == 0
    assert (clean.image[clean.mask] == 255).all()


def test_place_leaves_the_old_canvas_alone():
    canvas = Canvas.empty(BODY)
    canvas.place(picture(16), np.ones((16, 16), bool), IDENTITY)
    assert (canvas.image == 128).all()
    assert not canvas.mask.any()


@given(dx=st.integers(0, 40), dy=st.integers(0, 30), seed=st.integers(0, 99))
def test_cut_undoes_place_exactly_for_whole_offsets(dx, dy, seed):
    image = picture(24, seed)
    mask = np.random.default_rng(seed).random((24, 24)) > 0.5
    similarity = Similarity(1.0, -float(dx), -float(dy))
    back, back_mask = cut(Canvas.empty(BODY).place(image, mask, similarity), similarity, 24)
    np.testing.assert_array_equal(back_mask, mask)
    np.testing.assert_array_equal(back[mask], image[mask])


@given(
    scale=st.floats(0.3, 4.0),
    u=st.floats(0.2, 0.8),
    v=st.floats(0.2, 0.8),
    gain=st.floats(-2, 2),
    tilt=st.floats(-2, 2),
)
def test_cut_undoes_place_for_every_map_where_the_picture_is_smooth(scale, u, v, gain, tilt):
    """A plane survives area means and bilinear reads, so it comes back but for rounding, away from the borders."""
    size = 32
    similarity = Similarity(scale, size / 2 - scale * 80 * u, size / 2 - scale * 64 * v)
    grid = np.arange(size) + 0.5
    plane = 128 + gain * (grid[None] - 16) + tilt * (grid[:, None] - 16)
    image = np.repeat(np.rint(plane)[..., None], 3, -1).astype(np.uint8)
    back, mask = cut(Canvas.empty(BODY).place(image, np.ones((size, size), bool), similarity), similarity, size)
    canvas_points = similarity.inverse().apply(np.stack(np.meshgrid(grid, grid), -1))
    edge = 1.5 / scale + 1.5
    inside = ((canvas_points >= edge) & (canvas_points <= np.array([80, 64]) - edge)).all(-1)
    border = int(np.ceil(2 * scale)) + 2
    inside[:border] = inside[-border:] = False
    inside[:, :border] = inside[:, -border:] = False
    assert mask[inside].all()
    assert np.abs(back[inside].astype(int) - image[inside].astype(int)).max(initial=0) <= 3


@given(scale=st.floats(0.2, 5.0), dx=st.floats(-40, 40), dy=st.floats(-40, 40), size=st.integers(4, 40))
def test_warp_never_leaves_the_range_of_its_input(scale, dx, dy, size):
    image = np.full((size, size), 7.0)
    out = warp(image, Similarity(scale, dx, dy), 20, 24)
    assert ((np.abs(out - 7) < 1e-9) | (out == 0)).all()


def test_clean_mask_drops_specks_and_fills_pinholes():
    mask = np.zeros((100, 100), bool)
    mask[20:80, 20:80] = True
    wanted = mask.copy()
    mask[2:6, 2:6] = True  # 16 pixels: below 2 percent
    mask[50:53, 50:53] = False  # 9 pixels: below .2 percent
    np.testing.assert_array_equal(clean_mask(mask), wanted)


def test_clean_mask_keeps_rings_second_hands_and_bays():
    mask = np.zeros((100, 100), bool)
    mask[10:50, 10:50] = True
    mask[25:32, 25:32] = False  # the ring of an OK sign
    mask[40:50, 30] = False  # a gap between fingers, open at its end
    mask[60:90, 60:90] = True
    mask[0, 10] = False
    np.testing.assert_array_equal(clean_mask(mask), mask)


def test_clean_mask_keeps_the_largest_part_however_small_and_stays_empty():
    mask = np.zeros((100, 100), bool)
    assert not clean_mask(mask).any()
    mask[40:44, 40:44] = True
    mask[80, 80] = True
    cleaned = clean_mask(mask)
    assert cleaned.sum() == 16
    assert clean_mask(np.ones((10, 10), bool)).all()
