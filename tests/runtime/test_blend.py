"""Known inside, generated outside, to the last bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from handfirst.runtime.diffusion.sampler import Known, blend
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.table import Schedule, ddim_table
from handfirst.runtime.geometry import paste

PICTURES = arrays(np.uint8, (12, 10, 3))
MASKS = arrays(np.bool_, (12, 10))


@settings(max_examples=60, deadline=None)
@given(PICTURES, PICTURES, MASKS, st.sampled_from([0.0, 0.5, 1.0, 3.0, 20.0]))
def test_kept_pixels_never_change(image: np.ndarray, canvas: np.ndarray, kept: np.ndarray, feather: float) -> None:
    out = paste(image, canvas, kept, feather)
    assert out.dtype == np.uint8 and (out[kept] == canvas[kept]).all()
    if feather == 0 or not kept.any():
        assert (out[~kept] == image[~kept]).all()


def test_the_feather_fades_the_edges_own_colour() -> None:
    """A white hand on a black canvas before a black picture: 3 px of feather leave 3/4, 2/4 and 1/4 of white."""
    image = np.zeros((5, 9, 3), np.uint8)
    canvas = np.zeros((5, 9, 3), np.uint8)
    kept = np.zeros((5, 9), np.bool_)
    kept[:, :2] = True
    canvas[kept] = 200
    row = paste(image, canvas, kept, 3.0)[2, :, 0]
    assert row.tolist() == [200, 200, 150, 100, 50, 0, 0, 0, 0]


def test_latents_blend_exactly() -> None:
    rng = np.random.default_rng(0)
    x, known = (rng.standard_normal((2, 4, 3, 3)).astype(np.float32) for _ in range(2))
    kept = rng.random((2, 3, 3)) > 0.5
    row = ddim_table(Schedule(ScheduleSettings()), 1, guidance=1.0, blend_source="clean").row(1)
    out = blend(x, Known(known, x, kept[:, None]), row)
    wide = np.broadcast_to(kept[:, None], x.shape)
    assert (out[wide] == known[wide]).all() and (out[~wide] == x[~wide]).all()
