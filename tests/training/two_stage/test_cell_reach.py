"""One comparison per step instead of a dilation: `cell_reach` against the masks that the sampler makes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_model import tiny_settings

from handfirst.runtime.diffusion.masks import kept_radii
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.systems.two_stage.conditions import cell_reach, kept_cells

SIDE = 64


def changed(**body: object) -> TwoStageSettings:
    settings = tiny_settings()
    return settings.model_copy(update={"body": settings.body.model_copy(update=body)})


@given(
    boxes=st.lists(st.tuples(*[st.integers(0, SIDE - 1)] * 2, *[st.integers(1, 30)] * 2), max_size=3),
    t=st.integers(0, 999),
    reduction=st.sampled_from(["area", "nearest", "max"]),
    schedule=st.sampled_from(["pixels", "latent"]),
)
def test_a_cell_is_kept_where_its_reach_is_within_the_radius(
    boxes: list[tuple[int, int, int, int]], t: int, reduction: str, schedule: str
) -> None:
    settings = changed(mask_reduction=reduction, mask_schedule=schedule, height=SIDE, width=SIDE)
    mask = np.zeros((SIDE, SIDE), np.bool_)
    for y, x, h, w in boxes:
        mask[y : y + h, x : x + w] = True
    steps = settings.schedule.train_steps
    radius = kept_radii(steps, settings.body, SIDE)[steps - 1 - t]
    np.testing.assert_array_equal(cell_reach(mask, settings) <= radius, kept_cells(mask, settings, t))


def test_without_a_hand_nothing_is_ever_kept() -> None:
    assert np.isinf(cell_reach(np.zeros((SIDE, SIDE), np.bool_), tiny_settings())).all()


def test_by_hand() -> None:
    """Beside a covered column of cells just half of the pixels lie within 4: the fifth column of them decides."""
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[:, :8] = True
    reach = cell_reach(mask, changed(mask_reduction="area", mask_schedule="pixels"))
    assert reach[0, 0] == 0 and reach[0, 1] == 5 and reach[0, 2] == 13
