"""The whole sampling loop as data: everything that a step needs, computed once.

NumPy executes the table row by row (denoise.py); a GPU kernel can execute the same rows from device memory.
Knows nothing about engines, latents or masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.ddim import PredictionKind, sigma
from handfirst.runtime.schedule import Schedule


@dataclass(frozen=True, eq=False)
class StepPlan:
    """One row per step, noisiest first; S rows.

    Attributes:
        timestep: int64 [S], what the network is told.
        alpha_bar, alpha_bar_prev: float64 [S], before and after the step.
        sigma: float64 [S], std of the fresh noise (0 where eta is 0).
        known_signal, known_noise: float64 [S], the known region after the step is
            known_signal x_c + known_noise eps_0: noised to the new time, or (1, 0) for a clean source.
        blend: bool [S], whether the known region is put in after the step.
        guidance: weight g in eps_u + g (eps_c - eps_u).
        prediction: what the network predicts.
    """

    timestep: NDArray[np.int64]
    alpha_bar: NDArray[np.float64]
    alpha_bar_prev: NDArray[np.float64]
    sigma: NDArray[np.float64]
    known_signal: NDArray[np.float64]
    known_noise: NDArray[np.float64]
    blend: NDArray[np.bool_]
    guidance: float
    prediction: PredictionKind

    def __len__(self) -> int:
        return len(self.timestep)


def make_plan(
    schedule: Schedule,
    steps: int,
    guidance: float,
    eta: float = 0.0,
    unblended: int = 0,
    blend_source: Literal["noised", "clean"] = "noised",
) -> StepPlan:
    """The table for one run.

    Args:
        steps: S, at least 1.
        unblended: the last steps that run on the whole latent (paper: two). With too few steps all of them.

    Raises:
        RequestError: if the schedule has no such number of steps.
    """
    pairs = schedule.timesteps(steps)
    before = np.array([schedule.alpha_bar[t] for t, _ in pairs])
    after = np.array([schedule.alpha_bar_prev(t_prev) for _, t_prev in pairs])
    clean = blend_source == "clean"
    arrays = {
        "timestep": np.array([t for t, _ in pairs], np.int64),
        "alpha_bar": before,
        "alpha_bar_prev": after,
        "sigma": np.array([sigma(a, b, eta) for a, b in zip(before, after, strict=True)]),
        "known_signal": np.ones(steps) if clean else np.sqrt(after),
        "known_noise": np.zeros(steps) if clean else np.sqrt(1 - after),
        "blend": np.arange(1, steps + 1) <= steps - unblended,
    }
    for array in arrays.values():
        array.flags.writeable = False
    return StepPlan(**arrays, guidance=guidance, prediction=schedule.settings.prediction)  # type: ignore[arg-type]
