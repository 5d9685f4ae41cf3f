"""The noise schedule: alpha_bar over training steps and the pairs (t, t_prev) that sampling visits.

Names, roundings and conventions are those of diffusers' DDIMScheduler. Knows nothing about latents or networks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import RequestError
from handfirst.runtime.settings import ScheduleSettings


def betas(settings: ScheduleSettings) -> NDArray[np.float32]:
    """beta_t, float32 [T]."""
    T = settings.train_steps
    if settings.betas == "linear":
        return np.linspace(settings.beta_start, settings.beta_end, T, dtype=np.float32)
    if settings.betas == "scaled_linear":
        return np.linspace(settings.beta_start**0.5, settings.beta_end**0.5, T, dtype=np.float32) ** 2

    def alpha_bar(s: float) -> float:
        return math.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2

    steps = [min(1 - alpha_bar((i + 1) / T) / alpha_bar(i / T), 0.999) for i in range(T)]
    return np.array(steps, np.float32)


class Schedule:
    """alpha_bar float64 [T] and the time steps of a run."""

    def __init__(self, settings: ScheduleSettings) -> None:
        self.settings = settings
        # float32 factors and results, float64 in between: torch's cumprod to the last bit
        product = np.cumprod((np.float32(1) - betas(settings)).astype(np.float64))
        self.alpha_bar: NDArray[np.float64] = product.astype(np.float32).astype(np.float64)
        self._final = 1.0 if settings.set_alpha_to_one else float(self.alpha_bar[0])

    def timesteps(self, steps: int) -> tuple[tuple[int, int], ...]:
        """Pairs (t, t_prev), noisiest first; t_prev < 0 after the last step.

        Raises:
            RequestError: if `steps` is not in 1..T.
        """
        T = self.settings.train_steps
        if not 1 <= steps <= T:
            raise RequestError(f"steps must be between 1 and {T}, got {steps}")
        if self.settings.spacing == "leading":
            t = (np.arange(steps) * (T // steps)).round()[::-1].astype(int) + self.settings.steps_offset
        elif self.settings.spacing == "linspace":
            t = np.linspace(0, T - 1, steps).round()[::-1].astype(int)
        else:
            t = np.round(np.arange(T, 0, -T / steps)).astype(int) - 1
        t = t[:steps]
        if t.max() >= T:
            raise RequestError(f"{steps} steps reach beyond the schedule's {T}; use fewer steps")
        return tuple((int(a), int(a) - T // steps) for a in t)

    def alpha_bar_prev(self, t_prev: int) -> float:
        """alpha_bar at t_prev; the schedule's final value where t_prev < 0."""
        return float(self.alpha_bar[t_prev]) if t_prev >= 0 else self._final
