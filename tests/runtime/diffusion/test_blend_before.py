"""Blending before a step, with fresh noise, against the loop written down in torch (RealisHuman's second stage)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from handfirst.runtime.diffusion.sampler import Known, Prediction, denoise
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.table import Schedule, ddim_table

STEPS, SHAPE = 20, (2, 4, 6, 5)


@pytest.fixture
def drawn() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    kept = rng.random((SHAPE[0], *SHAPE[2:])) < 0.4
    return {
        "x_T": rng.standard_normal(SHAPE, np.float32),
        "x_c": rng.standard_normal(SHAPE, np.float32),
        "fresh": rng.standard_normal((STEPS, *SHAPE)).astype(np.float32),
        "kept": np.repeat(kept[:, None], STEPS, 1),
    }


def answer(x_t, t):
    return 0.98 * x_t + 0.01 * (t / 1000)


def test_the_loop_is_that_of_diffusers_with_the_known_put_in_before_every_step(drawn) -> None:
    table = ddim_table(Schedule(ScheduleSettings(zero_snr=True)), STEPS, 1.0, blend="before")
    known = Known(drawn["x_c"], drawn["x_T"], drawn["kept"], lambda index: drawn["fresh"][index - 1])
    made = list(denoise(lambda x, t: Prediction(answer(x, t)), drawn["x_T"], table, known))

    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1,
        set_alpha_to_one=False, rescale_betas_zero_snr=True,
    )  # fmt: skip
    scheduler.set_timesteps(STEPS)
    x, x_c = torch.from_numpy(drawn["x_T"]), torch.from_numpy(drawn["x_c"])
    kept = torch.from_numpy(drawn["kept"][:, :1])
    for i, t in enumerate(scheduler.timesteps):
        noised = scheduler.add_noise(x_c, torch.from_numpy(drawn["fresh"][i]), t[None])
        x = torch.where(kept, noised, x)
        x = scheduler.step(answer(x, int(t)), int(t), x).prev_sample
    x = torch.where(kept, x_c, x)
    assert len(made) == STEPS
    np.testing.assert_allclose(made[-1].x_t, x.numpy(), rtol=1e-4, atol=1e-4)
    assert np.array_equal(
        made[-1].x_t[np.repeat(kept.numpy(), SHAPE[1], 1)], drawn["x_c"][np.repeat(kept.numpy(), SHAPE[1], 1)]
    )


def test_without_its_noise_it_says_so(drawn) -> None:
    table = ddim_table(Schedule(ScheduleSettings()), STEPS, 1.0, blend="before")
    with pytest.raises(ValueError, match="needs noise"):
        next(denoise(lambda x, t: Prediction(x), drawn["x_T"], table, Known(drawn["x_c"], drawn["x_T"], drawn["kept"])))
