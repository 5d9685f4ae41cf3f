"""Solvers as rows of the table, against diffusers' schedulers: step by step, whole loops, blended, on the kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, LCMScheduler, UniPCMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.runtime.diffusion.noise import randn
from handfirst.runtime.diffusion.sampler import Known, Prediction, denoise
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.solvers import step_table
from handfirst.runtime.diffusion.table import Schedule
from handfirst.runtime.errors import RequestError

SHAPE = (2, 4, 6, 6)
MULTISTEP = {"dpm++": DPMSolverMultistepScheduler, "unipc": UniPCMultistepScheduler}


def network(x: np.ndarray, t: int) -> np.ndarray:
    """Any smooth function will do."""
    return (0.5 * np.tanh(0.7 * x + t / 1000)).astype(np.float32)


def say(x: np.ndarray, t: int) -> Prediction:
    return Prediction(network(x, t))


def theirs(solver: str, given: ScheduleSettings, steps: int) -> Any:
    common = {
        "beta_start": given.beta_start, "beta_end": given.beta_end, "beta_schedule": given.betas,
        "prediction_type": given.prediction, "timestep_spacing": given.spacing, "steps_offset": given.steps_offset,
        "rescale_betas_zero_snr": given.zero_snr,
    }  # fmt: skip
    made: Any
    if solver == "lcm":
        made = LCMScheduler(**common, clip_sample=False, set_alpha_to_one=given.set_alpha_to_one)
    elif solver == "ddim-trailing":
        common["timestep_spacing"] = "trailing"
        made = DDIMScheduler(**common, clip_sample=False, set_alpha_to_one=given.set_alpha_to_one)
    else:
        made = MULTISTEP[solver](**common)
    made.set_timesteps(steps)
    return made


schedules = st.builds(
    ScheduleSettings,
    betas=st.sampled_from(["linear", "scaled_linear", "squaredcos_cap_v2"]),
    spacing=st.sampled_from(["leading", "trailing", "linspace"]),
    steps_offset=st.sampled_from([0, 1]),
    prediction=st.sampled_from(["epsilon", "v_prediction", "sample"]),
    set_alpha_to_one=st.booleans(),
    zero_snr=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(schedules, st.sampled_from(["dpm++", "unipc", "lcm", "ddim-trailing"]), st.integers(1, 40), st.booleans())
def test_every_step_equals_diffusers(given: ScheduleSettings, solver: str, steps: int, kept: bool) -> None:
    """Both start every step from the same x_t; `kept` puts something else into some cells after each step."""
    scheduler = theirs(solver, given, steps)
    if given.prediction == "epsilon" and given.zero_snr and 999 in scheduler.timesteps:
        with pytest.raises(RequestError, match="pure noise"):
            step_table(solver, Schedule(given), steps, 1.0)  # type: ignore[arg-type]
        return
    table = step_table(solver, Schedule(given), steps, 1.0)  # type: ignore[arg-type]
    assert table.timestep.tolist() == scheduler.timesteps.tolist()
    fresh = [randn(100 + i, SHAPE) for i in range(steps + 1)]
    mask = np.broadcast_to(np.arange(6) < 3, (2, steps, 6, 6)) & kept
    known = Known(randn(1, SHAPE), randn(2, SHAPE), mask)
    x = torch.from_numpy(randn(3, SHAPE)).double()
    largest = 1.0
    ours = list(denoise(say, randn(3, SHAPE), table, known, lambda i: fresh[i]))
    for i, (step, t) in enumerate(zip(ours, scheduler.timesteps, strict=True)):
        out = torch.from_numpy(network(x.float().numpy(), int(t))).double()
        torch.manual_seed(0)
        lcm = solver == "lcm"
        x = lcm_step(scheduler, out, t, x, fresh[i + 1]) if lcm else scheduler.step(out, t, x).prev_sample
        a = float(table.alpha_bar_prev[i])
        put = torch.from_numpy(a**0.5 * known.x_c + (1 - a) ** 0.5 * known.eps_0).double()
        blended = torch.where(torch.from_numpy(mask[:, i][:, None].copy()), put, x)
        if solver == "unipc" and i < steps - 1:  # it corrects from its last sample: move that as far as x_t was moved
            scheduler.last_sample = scheduler.last_sample + (blended - x) * lead(scheduler, i)
        x = blended
        largest = max(largest, float(x.abs().max()))  # an x_0 of alpha_bar near 0 is thousandfold
        # torch's vectorised square root of alpha_bar is a unit in the last place off: near 1, .2 % of 1 - alpha_bar
        close = 1e-4 if given.zero_snr else 1e-5
        assert np.abs(step.x_t - x.numpy()).max() <= close * largest, (i, steps)


def lead(scheduler: Any, i: int) -> float:
    """What x_s weighs in x_t, inverted: a move of x_t is that move of x_s."""
    (_, after), (_, before) = (scheduler._sigma_to_alpha_sigma_t(scheduler.sigmas[j]) for j in (i + 1, i))
    return float(before / after)


def lcm_step(scheduler: Any, out: torch.Tensor, t: torch.Tensor, x: torch.Tensor, z: np.ndarray) -> torch.Tensor:
    """diffusers' step with our noise in place of its own."""
    denoised: torch.Tensor = scheduler.step(out, t, x).denoised
    later = [each for each in scheduler.timesteps.tolist() if each < int(t)]
    if not later:
        return denoised
    a = scheduler.alphas_cumprod[later[0]].double()
    return a.sqrt() * denoised + (1 - a).sqrt() * torch.from_numpy(z).double()


def gaussian(x: np.ndarray, alpha_bar: float, mean: float, std: float) -> np.ndarray:
    """The exact eps of data N(mean, std^2)."""
    variance = alpha_bar * std**2 + 1 - alpha_bar
    return np.asarray((1 - alpha_bar) ** 0.5 * (x - alpha_bar**0.5 * mean) / variance, np.float32)


def error(solver: str, steps: int) -> float:
    """Of data whose flow is known in closed form, before the last step, which is of first order in all of them."""
    schedule = Schedule(ScheduleSettings(spacing="linspace", set_alpha_to_one=True))
    table = step_table(solver, schedule, steps, 1.0)  # type: ignore[arg-type]
    x_T = randn(5, SHAPE)
    exactly = {int(t): float(schedule.alpha_bar[t]) for t in table.timestep}
    *_, before, _ = denoise(lambda x, t: Prediction(gaussian(x, exactly[t], 0.7, 0.3)), x_T, table)
    a, b = float(table.alpha_bar[0]), float(table.alpha_bar_prev[-2])
    spread = ((b * 0.3**2 + 1 - b) / (a * 0.3**2 + 1 - a)) ** 0.5
    return float(np.abs(np.asarray(before.x_t) - b**0.5 * 0.7 - spread * (x_T - a**0.5 * 0.7)).max())


def test_second_order_solvers_follow_the_flow_far_closer() -> None:
    first = error("ddim", 20)
    assert error("dpm++", 20) < first / 10 and error("unipc", 20) < first / 10


@pytest.mark.parametrize(
    ("solver", "steps", "what"),
    [("lcm", 51, "1 to 50"), ("lcm", 0, "1 to 50"), ("dpm++", 0, "between"), ("unipc", 1000, "fewer steps")],
)
def test_too_many_steps_are_one_clear_line(solver: str, steps: int, what: str) -> None:
    with pytest.raises(RequestError, match=what):
        step_table(solver, Schedule(ScheduleSettings()), steps, 1.0)  # type: ignore[arg-type]
