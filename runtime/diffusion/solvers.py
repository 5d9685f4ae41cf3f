"""Solvers beside DDIM, as rows of the same table: DPM-Solver++(2M), UniPC, LCM's step, and DDIM over trailing times.

A multistep solver is a weighted sum of x_t and of the clean estimates of this step and of the last two; a table holds
the weights, so that host and device run every solver by the same lines. Times, weights and the drop to first order in
the last step are those of diffusers' DPMSolverMultistepScheduler, UniPCMultistepScheduler (bh2) and LCMScheduler with
their defaults: order 2, the last step to alpha_bar = 1. Where a canvas is blended in, a solver goes on from what was
put there; UniPC corrects what stands after blending, while its estimates stay the network's. Knows nothing about
engines, latents or masks.
"""

from __future__ import annotations

from dataclasses import replace
from math import expm1, inf, log, sqrt
from typing import Literal

import numpy as np

from handfirst.runtime.diffusion.table import Schedule, StepTable, ddim_rows
from handfirst.runtime.errors import RequestError

Solver = Literal["ddim", "ddim-trailing", "dpm++", "unipc", "lcm"]
"""ddim: the schedule's own times; ddim-trailing: times from the noisiest on, as Hyper-SD was distilled; dpm++:
DPM-Solver++(2M) (Lu et al., 2022); unipc: UniPC-2 (Zhao et al., 2023); lcm: latent consistency (Luo et al., 2023)."""

LCM_STEPS = 50
"""Times that consistency models were distilled at; a run takes some of them."""
LCM_SCALE, LCM_DATA = 10.0, 0.5
"""Of the boundary condition: c_skip = d^2 / ((10 t)^2 + d^2), c_out = 10 t / sqrt((10 t)^2 + d^2)."""

FLOOR = 2.0**-24
"""alpha_bar of pure noise, for solvers that work with its logarithm: diffusers' floor under zero terminal SNR."""


def step_table(
    solver: Solver,
    schedule: Schedule,
    steps: int,
    guidance: float,
    eta: float = 0.0,
    unblended: int = 0,
    blend_source: Literal["noised", "clean"] = "noised",
) -> StepTable:
    """The rows of a solver.

    Args:
        eta: of DDIM; the others have none of their own.
        others: as of `ddim_table`.

    Raises:
        RequestError: if the schedule has no such number of steps for this solver.
    """
    if solver in ("ddim", "ddim-trailing"):
        return ddim_rows(schedule, _ddim_times(solver, schedule, steps), guidance, eta, unblended, blend_source)
    times = _times(solver, schedule, steps)
    to_one = Schedule(schedule.settings.model_copy(update={"set_alpha_to_one": True}))
    base = ddim_rows(to_one, list(zip(times, [*times[1:], -1], strict=True)), guidance, 0.0, unblended, blend_source)
    return _lcm(base) if solver == "lcm" else _multistep(base, corrected=solver == "unipc")


def check_steps(solver: Solver, schedule: Schedule, steps: int) -> None:
    """Raises a RequestError where `step_table` would."""
    if solver in ("ddim", "ddim-trailing"):
        _ddim_times(solver, schedule, steps)
    else:
        _times(solver, schedule, steps)


def _ddim_times(solver: Solver, schedule: Schedule, steps: int) -> tuple[tuple[int, int], ...]:
    trailing = solver == "ddim-trailing"
    own = Schedule(schedule.settings.model_copy(update={"spacing": "trailing"})) if trailing else schedule
    return own.timesteps(steps)


def _times(solver: Solver, schedule: Schedule, steps: int) -> list[int]:
    times = _lcm_times(schedule, steps) if solver == "lcm" else _multistep_times(schedule, steps)
    schedule.check_start(times[0], steps)
    return times


def _multistep_times(schedule: Schedule, steps: int) -> list[int]:
    """As diffusers spaces them for multistep solvers: one interval more than steps, for the way to alpha_bar = 1."""
    T, spacing = schedule.settings.train_steps, schedule.settings.spacing
    if not 1 <= steps <= T:
        raise RequestError(f"steps must be between 1 and {T}, got {steps}")
    if spacing == "linspace":
        t = np.linspace(0, T - 1, steps + 1).round()[:0:-1].astype(int)
    elif spacing == "leading":
        t = np.arange(steps, 0, -1) * (T // (steps + 1)) + schedule.settings.steps_offset
    else:
        t = np.arange(T, 0, -T / steps).round().astype(int)[:steps] - 1
    if t.max() >= T or (np.diff(t) >= 0).any():
        raise RequestError(f"{steps} steps are too many for this solver on a schedule of {T}; use fewer steps")
    return [int(each) for each in t]


def _lcm_times(schedule: Schedule, steps: int) -> list[int]:
    T = schedule.settings.train_steps
    most = min(LCM_STEPS, T)
    if not 1 <= steps <= most:
        raise RequestError(f"steps: expected 1 to {most} with the solver lcm, got {steps}")
    distilled = np.arange(most, 0, -1) * (T // most) - 1
    return [int(each) for each in distilled[np.floor(np.linspace(0, most, steps, endpoint=False)).astype(int)]]


def _lcm(base: StepTable) -> StepTable:
    """x_t' = sqrt(a') (c_out x_0 + c_skip x_t) + sqrt(1 - a') z, with x_t = signal x_0 + noise eps."""
    scaled = LCM_SCALE * base.timestep
    skip = LCM_DATA**2 / (scaled**2 + LCM_DATA**2)
    out = scaled / np.sqrt(scaled**2 + LCM_DATA**2)
    to = np.sqrt(base.alpha_bar_prev)
    return replace(
        base,
        clean=to * (out + skip * np.sqrt(base.alpha_bar)),
        direction=to * skip * np.sqrt(1 - base.alpha_bar),
        sigma=np.sqrt(1 - base.alpha_bar_prev),
    )


def _multistep(base: StepTable, corrected: bool) -> StepTable:
    """DPM-Solver++(2M), or UniPC-2, whose predictor is the same step and whose corrector mends x_t beforehand.

    In lambda = log(signal / noise), with h the way of this step and r h the way back to the step before:
    x_t' = (noise' / noise) x_t - signal' (e^-h - 1) (x_0 + (x_0 - x_0') / (2 |r|)); the last term from the second step
    to the last but one.
    """
    S = len(base)
    base = replace(base, alpha_bar=np.where(base.alpha_bar == 0, FLOOR, base.alpha_bar))
    signal, noise = np.sqrt(base.alpha_bar), np.sqrt(1 - base.alpha_bar)
    lambdas = [log(a / b) for a, b in zip(signal.tolist(), noise.tolist(), strict=True)] + [inf]
    clean, direction, earlier = np.zeros(S), np.zeros(S), np.zeros((S, 2))
    for i in range(S):
        to, ratio = sqrt(base.alpha_bar_prev[i]), sqrt(1 - base.alpha_bar_prev[i]) / noise[i]
        way = expm1(lambdas[i] - lambdas[i + 1])
        half = 0.0
        if 0 < i < S - 1:
            half = (lambdas[i + 1] - lambdas[i]) / (lambdas[i] - lambdas[i - 1]) / 2
        mended = _correction(lambdas, i, float(signal[i])) if corrected and i else (0.0, 0.0, 0.0)
        clean[i] = ratio * (signal[i] + mended[0]) - to * way * (1 + half)
        direction[i] = ratio * noise[i]
        earlier[i] = ratio * mended[1] + to * way * half, ratio * mended[2]
    return replace(base, clean=clean, direction=direction, earlier=earlier)


def _correction(lambdas: list[float], i: int, signal: float) -> tuple[float, float, float]:
    """UniC (Zhao et al., eq. 7, with B(h) = e^h - 1) as what it adds to the predicted x_t of step i.

    Corrector and predictor of the way here differ by multiples of x_0 - x_0' and x_0'' - x_0' alone.

    Returns:
        Weights of x_0, x_0' and x_0''.
    """
    h = lambdas[i] - lambdas[i - 1]
    B = expm1(-h)
    if i == 1:
        return -signal * B / 2, signal * B / 2, 0.0
    r = (lambdas[i - 2] - lambdas[i - 1]) / h
    phi_2 = B / -h - 1
    phi_3 = phi_2 / -h - 1 / 2
    b_1, b_2 = phi_2 / B, 2 * phi_3 / B
    back = (b_2 - b_1) / (r - 1)  # back + here = b_1, r back + here = b_2
    here = b_1 - back
    past = (back - 1 / 2) / r  # the predictor took half
    return -signal * B * here, signal * B * (here + past), -signal * B * past
