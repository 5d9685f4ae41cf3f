"""Masks against scipy, torch and formulas by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from handfirst.runtime.diffusion.masks import (
    binarise,
    bounding_box,
    cell_radii,
    dilate,
    expansion_radii,
    mask_table,
    reduce_mask,
)
from handfirst.runtime.systems.two_stage.settings import BodySettings

BODY = BodySettings(height=64, width=64)
MASKS = arrays(np.bool_, (24, 32), elements=st.booleans())


def blob(y: int = 30, x: int = 20, radius: int = 6) -> np.ndarray:
    yy, xx = np.mgrid[:64, :64]
    return (yy - y) ** 2 + (xx - x) ** 2 <= radius**2


@settings(max_examples=50, deadline=None)
@given(MASKS, st.integers(0, 9))
def test_dilation_equals_iterated_scipy(mask: np.ndarray, radius: int) -> None:
    grown = ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=radius) if radius else mask
    assert (dilate(mask, radius) == grown).all()


def test_radii_are_the_papers_at_fifty_steps() -> None:
    radii = expansion_radii(50, 50)
    by_hand = [int(50 * (50 - s) / 49 + 0.5) for s in range(1, 51)]
    assert radii.tolist() == by_hand
    assert radii[0] == 50 and radii[-1] == 0 and (np.diff(radii) <= 0).all()
    assert expansion_radii(1, 50).tolist() == [0]
    assert expansion_radii(20, 50)[0] == 50  # a shorter run keeps the envelope


@settings(max_examples=50, deadline=None)
@given(MASKS)
def test_reductions_equal_torch(mask: np.ndarray) -> None:
    tensor = torch.from_numpy(mask)[None, None].float()
    assert (reduce_mask(mask, 8, "area") == (F.avg_pool2d(tensor, 8) > 0.5)[0, 0].numpy()).all()
    assert (reduce_mask(mask, 8, "max") == (F.max_pool2d(tensor, 8) > 0)[0, 0].numpy()).all()
    nearest = F.interpolate(tensor, scale_factor=1 / 8, mode="nearest")
    assert (reduce_mask(mask, 8, "nearest") == (nearest > 0)[0, 0].numpy()).all()


def test_exactly_half_a_cell_is_painted() -> None:
    cell = np.zeros((8, 8), np.bool_)
    cell[:4] = True
    assert not reduce_mask(cell, 8, "area").any()
    cell[4, 0] = True
    assert reduce_mask(cell, 8, "area").all()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(8, 55), st.integers(8, 55))
def test_the_kept_region_shrinks_to_the_true_mask(steps: int, y: int, x: int) -> None:
    table = mask_table([blob(y, x)], steps, "expansion", BODY, 8)
    assert table.shape == (steps, 8, 8)
    assert not (table[1:] & ~table[:-1]).any()
    assert (table[-1] == reduce_mask(blob(y, x), 8, "area")).all()


def test_masks_of_cells_take_equal_shares_the_widest_first() -> None:
    """By hand: shares of 10 // 3 + 1 = 4, of 50 // 7 + 1 = 8, and of 30 // 7 + 1 = 5 steps; then the true mask."""
    assert cell_radii(10, 3).tolist() == [2] * 4 + [1] * 4 + [0] * 2
    assert cell_radii(50, 7).tolist() == [6] * 8 + [5] * 8 + [4] * 8 + [3] * 8 + [2] * 8 + [1] * 8 + [0] * 2
    assert cell_radii(30, 7).tolist() == [6] * 5 + [5] * 5 + [4] * 5 + [3] * 5 + [2] * 5 + [1] * 4 + [0]
    assert cell_radii(3, 7).tolist() == [6, 5, 0]
    assert cell_radii(4, 1).tolist() == [0] * 4 and cell_radii(1, 5).tolist() == [0]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), arrays(np.bool_, (64, 64), elements=st.booleans()))
def test_the_latent_schedule_is_blended_latent_diffusions(steps: int, count: int, noise: np.ndarray) -> None:
    body = BodySettings(height=64, width=64, mask_schedule="latent", mask_count=count)
    mask = noise & blob(radius=9) if steps % 2 else blob(radius=9)
    table = mask_table([mask], steps, "expansion", body, 8)
    cells = F.avg_pool2d(torch.from_numpy(mask)[None, None].float(), 8)[0, 0].numpy() > 0.5
    masks = [ndimage.binary_dilation(cells, np.ones((3 + 2 * i, 3 + 2 * i))) for i in reversed(range(count - 1))] + [
        cells
    ]
    for i in range(steps - 1):
        assert (table[i] == masks[i // (steps // count + 1)]).all()
    assert (table[-1] == cells).all()
    assert not (table[1:] & ~table[:-1]).any()


def test_naive_keeps_the_mask_and_boxes_are_per_hand() -> None:
    hands = [blob(20, 12), blob(44, 50)]
    naive = mask_table(hands, 5, "naive", BODY, 8)
    assert (naive == reduce_mask(hands[0] | hands[1], 8, "area")).all()
    boxes = mask_table(hands, 5, "bounding-box", BODY, 8)
    by_hand = np.zeros((64, 64), np.bool_)
    by_hand[14:27, 6:19] = True
    by_hand[38:51, 44:57] = True
    assert (boxes == reduce_mask(by_hand, 8, "area")).all()
    assert not bounding_box(np.zeros((4, 4), np.bool_)).any()


@pytest.mark.parametrize("rule", ["expansion", "naive", "bounding-box"])
def test_without_hands_nothing_is_kept(rule: str) -> None:
    assert not mask_table([], 4, rule, BODY, 8).any()  # type: ignore[arg-type]


def test_binarise_clips_and_includes_the_threshold() -> None:
    assert binarise(np.array([-3, 0.49, 0.5, 7], np.float32), 0.5).tolist() == [False, False, True, True]
