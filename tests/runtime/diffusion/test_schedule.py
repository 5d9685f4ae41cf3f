"""The schedule against diffusers' DDIMScheduler."""

from __future__ import annotations

import numpy as np
import pytest
from diffusers import DDIMScheduler

from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.table import Schedule
from handfirst.runtime.errors import RequestError

BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")


def pair(betas: str, spacing: str, steps_offset: int = 0) -> tuple[Schedule, DDIMScheduler]:
    ours = Schedule(ScheduleSettings(betas=betas, spacing=spacing, steps_offset=steps_offset))  # type: ignore[arg-type]
    theirs = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule=betas, timestep_spacing=spacing, steps_offset=steps_offset,
        set_alpha_to_one=False, clip_sample=False,
    )  # fmt: skip
    return ours, theirs


@pytest.mark.parametrize("betas", BETAS)
def test_alpha_bar_equals_diffusers(betas: str) -> None:
    ours, theirs = pair(betas, "leading")
    np.testing.assert_allclose(ours.alpha_bar, theirs.alphas_cumprod.numpy(), rtol=0, atol=1e-7)
    assert ours.alpha_bar_prev(-1) == pytest.approx(float(theirs.final_alpha_cumprod), abs=1e-7)
    assert (np.diff(ours.alpha_bar) < 0).all()


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 7, 10, 20, 33, 50, 250, 999])
def test_timesteps_equal_diffusers(spacing: str, steps: int) -> None:
    ours, theirs = pair("scaled_linear", spacing, 1 if spacing == "leading" else 0)
    theirs.set_timesteps(steps)
    pairs = ours.timesteps(steps)
    assert [t for t, _ in pairs] == theirs.timesteps.tolist()
    assert [p for _, p in pairs] == [t - 1000 // steps for t in theirs.timesteps.tolist()]


def test_alpha_bar_after_the_last_step_may_be_one() -> None:
    assert Schedule(ScheduleSettings(set_alpha_to_one=True)).alpha_bar_prev(-5) == 1.0


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_bad_step_counts_are_one_clear_line(steps: int) -> None:
    with pytest.raises(RequestError, match=r"between 1 and 1000, got") as caught:
        Schedule(ScheduleSettings()).timesteps(steps)
    assert "\n" not in str(caught.value)
