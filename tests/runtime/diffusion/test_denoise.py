"""The loop against fifteen independent lines of torch, and what the table holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from handfirst.runtime.diffusion.masks import mask_table
from handfirst.runtime.diffusion.noise import randn
from handfirst.runtime.diffusion.sampler import Known, Prediction, denoise
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.table import Schedule, StepTable, ddim_table
from handfirst.runtime.systems.two_stage.settings import BodySettings

STEPS, G = 12, 3.0
BODY = BodySettings(height=64, width=64)


def network(x: np.ndarray, t: int, shift: float) -> np.ndarray:
    return (0.4 * np.sin(x + t / 500) + shift).astype(np.float32)


def predict(x: np.ndarray, t: int) -> Prediction:
    return Prediction(network(x, t, 0.1), network(x, t, 0.0), {"feature": x[:, :1]})


def hands(count: int) -> np.ndarray:
    tables = []
    for i in range(count):
        mask = np.zeros((64, 64), np.bool_)
        mask[8 + 8 * i : 40, 16:48] = True
        tables.append(mask_table([mask], STEPS, "expansion", BODY, 8))
    return np.stack(tables)


def plan(source: str = "noised", unblended: int = 2) -> StepTable:
    return ddim_table(Schedule(ScheduleSettings()), STEPS, G, 0.0, unblended, source)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["noised", "clean"])
def test_guided_blended_loop_equals_torch(source: str) -> None:
    x_c, eps_0, kept = randn(1, (2, 4, 8, 8)), randn(2, (2, 4, 8, 8)), hands(2)
    ours = list(denoise(predict, eps_0, plan(source), Known(x_c, eps_0, kept)))
    theirs = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, set_alpha_to_one=False,
        clip_sample=False,
    )  # fmt: skip
    theirs.set_timesteps(STEPS)
    x, clean, noise = torch.from_numpy(eps_0), torch.from_numpy(x_c), torch.from_numpy(eps_0)
    for s, t in enumerate(theirs.timesteps, 1):
        u, c = (torch.from_numpy(network(x.numpy(), int(t), shift)) for shift in (0.0, 0.1))
        x = theirs.step(u + G * (c - u), t, x).prev_sample
        if s <= STEPS - 2:
            previous = int(t) - 1000 // STEPS
            a = theirs.alphas_cumprod[previous] if previous >= 0 else theirs.final_alpha_cumprod
            known = clean if source == "clean" else a.sqrt() * clean + (1 - a).sqrt() * noise
            m = torch.from_numpy(kept[:, s - 1])[:, None].float()
            x = m * known + (1 - m) * x
        np.testing.assert_allclose(ours[s - 1].x_t, x.numpy(), atol=2e-5)
        assert ours[s - 1].index == s and ours[s - 1].timestep == int(t)


def test_one_of_three_is_the_same_alone() -> None:
    x_c, eps_0, kept = randn(1, (3, 4, 8, 8)), randn(2, (3, 4, 8, 8)), hands(3)
    *_, together = denoise(predict, eps_0, plan(), Known(x_c, eps_0, kept))
    for i in range(3):
        one = slice(i, i + 1)
        *_, alone = denoise(predict, eps_0[one], plan(), Known(x_c[one], eps_0[one], kept[one]))
        assert (alone.x_t == together.x_t[one]).all()


def test_the_last_two_steps_run_free() -> None:
    assert plan().blend.tolist() == [True] * (STEPS - 2) + [False] * 2
    assert not ddim_table(Schedule(ScheduleSettings()), 2, 1.0, unblended=2).blend.any()


def test_the_table_cannot_be_changed_and_says_what_is_known() -> None:
    table = plan()
    with pytest.raises(ValueError, match="read-only"):
        table.alpha_bar[0] = 1
    np.testing.assert_allclose(table.known_signal**2 + table.known_noise**2, 1)
    np.testing.assert_allclose(table.known_signal**2, table.alpha_bar_prev)
    assert plan("clean").known_signal.tolist() == [1] * STEPS and not plan("clean").known_noise.any()


def test_stopping_early_asks_for_no_more_predictions() -> None:
    calls = []

    def counted(x: np.ndarray, t: int) -> Prediction:
        calls.append(t)
        return predict(x, t)

    run = denoise(counted, randn(0, (1, 4, 8, 8)), plan())
    next(run)
    next(run)
    run.close()
    assert len(calls) == 2


def test_extras_come_through_and_guidance_can_be_absent() -> None:
    x = randn(0, (1, 4, 8, 8))
    (first, *_) = denoise(lambda x, t: Prediction(network(x, t, 0.1)), x, plan())
    np.testing.assert_allclose(first.x_0.shape, x.shape)
    (guided, *_) = denoise(predict, x, plan())
    assert (guided.extras["feature"] == x[:, :1]).all()
