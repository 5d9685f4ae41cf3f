"""The noise schedule, and the whole sampling loop as data: everything that a step needs, computed once.

alpha_bar over training steps, the pairs (t, t_prev) that sampling visits, and from them a table with a row per step.
NumPy executes the rows one by one (sampler.py); a GPU kernel can execute the same rows from device memory, and another
solver is another way to fill them. Names, roundings and conventions of the schedule are those of diffusers'
DDIMScheduler. Knows nothing about engines, latents or masks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.errors import RequestError


def betas(settings: ScheduleSettings) -> NDArray[np.float32]:
    """beta_t, float32 [T]."""
    found = _betas(settings)
    return _to_zero_snr(found) if settings.zero_snr else found


def _betas(settings: ScheduleSettings) -> NDArray[np.float32]:
    T = settings.train_steps
    if settings.betas == "linear":
        return np.linspace(settings.beta_start, settings.beta_end, T, dtype=np.float32)
    if settings.betas == "scaled_linear":
        return np.linspace(settings.beta_start**0.5, settings.beta_end**0.5, T, dtype=np.float32) ** 2

    def alpha_bar(s: float) -> float:
        return math.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2

    steps = [min(1 - alpha_bar((i + 1) / T) / alpha_bar(i / T), 0.999) for i in range(T)]
    return np.array(steps, np.float32)


def _to_zero_snr(betas: NDArray[np.float32]) -> NDArray[np.float32]:
    """betas whose last alpha_bar is 0 and whose first stays: sqrt(alpha_bar) shifted and stretched.

    Source: Lin et al., arXiv 2305.08891, algorithm 1; float32 in the order of diffusers' DDIMScheduler, which puts no
    floor under alpha_bar_T.
    """
    root = np.sqrt(_alpha_bar(betas))
    first, last = root[0], root[-1]
    alpha_bar = ((root - last) * (first / (first - last))) ** 2
    rescaled: NDArray[np.float32] = 1 - np.concatenate([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])
    return rescaled


def _alpha_bar(betas: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 factors and results, float64 in between: torch's cumprod to the last bit."""
    return np.cumprod((np.float32(1) - betas).astype(np.float64)).astype(np.float32)


class Schedule:
    """alpha_bar float64 [T] and the time steps of a run."""

    def __init__(self, settings: ScheduleSettings) -> None:
        self.settings = settings
        self.alpha_bar: NDArray[np.float64] = _alpha_bar(betas(settings)).astype(np.float64)
        self._final = 1.0 if settings.set_alpha_to_one else float(self.alpha_bar[0])

    def timesteps(self, steps: int) -> tuple[tuple[int, int], ...]:
        """Pairs (t, t_prev), noisiest first; t_prev < 0 after the last step.

        Raises:
            RequestError: if `steps` is not in 1..T, or they begin where noise alone is left and the network predicts
                the noise, which says nothing of the picture there.
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
        self.check_start(int(t.max()), steps)
        return tuple((int(a), int(a) - T // steps) for a in t)

    def check_start(self, t: int, steps: int) -> None:
        """Raises a RequestError where a run of `steps` from t on would begin where noise alone is left, and the network
        predicts the noise."""
        if self.settings.prediction == "epsilon" and self.alpha_bar[t] == 0:
            raise RequestError(
                f"{steps} steps begin at pure noise, from which a model that predicts noise can tell nothing; "
                "use another number of steps, or export the model with spacing 'leading'"
            )

    def alpha_bar_prev(self, t_prev: int) -> float:
        """alpha_bar at t_prev; the schedule's final value where t_prev < 0."""
        return float(self.alpha_bar[t_prev]) if t_prev >= 0 else self._final


PredictionKind = Literal["epsilon", "v_prediction", "sample"]


@dataclass(frozen=True)
class Row:
    """One step: with the clean estimate x_0 and the noise eps that the prediction stands for,

    x_t' = clean x_0 + direction eps + earlier[0] x_0' + earlier[1] x_0'' + sigma z,

    where x_0' and x_0'' are the estimates of the step before and of the one before that, and z is fresh noise. As x_0
    and eps are linear in x_t and the prediction, so is the step. A term whose weight is 0 is not read.
    """

    index: int
    """1 .. S."""
    timestep: int
    """What the network is told."""
    prediction: PredictionKind
    """What the network predicts."""
    guidance: float
    """g in u + g (c - u)."""
    signal: float
    """sqrt(alpha_bar_t) of x_t = signal x_0 + noise eps."""
    noise: float
    """sqrt(1 - alpha_bar_t)."""
    clean: float
    """Of x_0 after the step."""
    direction: float
    """Of eps after the step."""
    earlier: tuple[float, float]
    """Of the two estimates before this one, the later first."""
    sigma: float
    """Standard deviation of the fresh noise."""
    blend: bool
    """Whether the known region is put in after the step, as known_signal x_c + known_noise eps_0."""
    known_signal: float
    known_noise: float
    before: bool
    """Whether it is put in before the step, as signal x_c + noise z with fresh noise of its own."""
    alone: bool = False
    """Whether the network is asked with the prompt alone, and guidance left out."""
    forecast: tuple[float, ...] = ()
    """Weights of the clean estimates of the last steps that asked the network, the latest first: their sum is the
    prediction, and the network is not asked. Empty: it is."""


@dataclass(frozen=True, eq=False)
class StepTable:
    """Row's columns, the noisiest step first; S rows, none of which can be changed.

    Attributes:
        timestep: int64 [S].
        alpha_bar, alpha_bar_prev: float64 [S], before and after the step.
        guidance, clean, direction, sigma, known_signal, known_noise: float64 [S].
        earlier: float64 [S, 2].
        blend, before, alone: bool [S].
        forecast: float64 [S, K]; a row of zeros asks the network.
        prediction: what the network predicts.
    """

    timestep: NDArray[np.int64]
    alpha_bar: NDArray[np.float64]
    alpha_bar_prev: NDArray[np.float64]
    guidance: NDArray[np.float64]
    clean: NDArray[np.float64]
    direction: NDArray[np.float64]
    earlier: NDArray[np.float64]
    sigma: NDArray[np.float64]
    blend: NDArray[np.bool_]
    known_signal: NDArray[np.float64]
    known_noise: NDArray[np.float64]
    before: NDArray[np.bool_]
    alone: NDArray[np.bool_]
    forecast: NDArray[np.float64]
    prediction: PredictionKind

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def __len__(self) -> int:
        return len(self.timestep)

    def row(self, index: int) -> Row:
        """Step 1 .. S, as Python's own numbers."""
        at = index - 1
        later, before = self.earlier[at].tolist()
        forecast = tuple(np.trim_zeros(self.forecast[at], "b").tolist())
        return Row(
            index=index,
            timestep=int(self.timestep[at]),
            prediction="sample" if forecast else self.prediction,
            guidance=float(self.guidance[at]),
            signal=sqrt(self.alpha_bar[at]),
            noise=sqrt(1 - self.alpha_bar[at]),
            clean=float(self.clean[at]),
            direction=float(self.direction[at]),
            earlier=(later, before),
            sigma=float(self.sigma[at]),
            blend=bool(self.blend[at]),
            known_signal=float(self.known_signal[at]),
            known_noise=float(self.known_noise[at]),
            before=bool(self.before[at]),
            alone=bool(self.alone[at]),
            forecast=forecast,
        )

    def last(self, count: int) -> StepTable:
        """The table of its last steps alone, 1 <= count <= S: for a run that begins at a picture with some noise."""
        return StepTable(
            **{name: value[-count:] if name != "prediction" else value for name, value in vars(self).items()}
        )

    @property
    def guided(self) -> bool:
        """Whether any step needs the answer without the prompt."""
        return bool(((self.guidance != 1) & ~self.alone).any())

    def answers(self, copies: int) -> NDArray[np.int64]:
        """What each step asks the network for, for every picture: 0 where the prediction is forecast; [S].

        Args:
            copies: of a step that is not thinned out: 2 with guidance, else 1.
        """
        return np.where(self.forecast.any(1), 0, np.where(self.alone, 1, copies))

    @property
    def noisy(self) -> int:
        """Draws of fresh noise that a run takes: S, or 0 where no step adds any."""
        return len(self) if self.sigma.any() else 0


def ddim_table(
    schedule: Schedule,
    steps: int,
    guidance: float,
    eta: float = 0.0,
    unblended: int = 0,
    blend_source: Literal["noised", "clean"] = "noised",
    blend: Literal["after", "before"] = "after",
) -> StepTable:
    """DDIM (Song et al., eq. 12; the paper's eq. 6 with alpha_bar throughout).

    x_t' = sqrt(a') x_0 + sqrt(1 - a' - sigma^2) eps + sigma z, with a' of the next, less noisy time.

    Args:
        steps: S, at least 1.
        guidance: weight of every step.
        eta: 0 is deterministic, 1 is as noisy as DDPM.
        unblended: the last steps that run on the whole latent (paper: two). With too few steps all of them.
        blend_source: whether the known region is noised to the new time, or stays clean.
        blend: "before" puts the known region in before every step, with fresh noise, and clean after the last
            (RealisHuman's second stage); `unblended` and `blend_source` then have no effect.

    Raises:
        RequestError: if the schedule has no such number of steps.
    """
    return ddim_rows(schedule, schedule.timesteps(steps), guidance, eta, unblended, blend_source, blend)


def ddim_rows(
    schedule: Schedule,
    pairs: Sequence[tuple[int, int]],
    guidance: float,
    eta: float = 0.0,
    unblended: int = 0,
    blend_source: Literal["noised", "clean"] = "noised",
    blend: Literal["after", "before"] = "after",
) -> StepTable:
    """As `ddim_table`, over any times (t, t_prev)."""
    steps = len(pairs)
    before = [float(schedule.alpha_bar[t]) for t, _ in pairs]
    after = [schedule.alpha_bar_prev(t_prev) for _, t_prev in pairs]
    sigmas = [ddim_sigma(a, b, eta) for a, b in zip(before, after, strict=True)]
    noised, index = blend_source == "noised" and blend == "after", np.arange(1, steps + 1)
    return StepTable(
        timestep=np.array([t for t, _ in pairs], np.int64),
        alpha_bar=np.array(before),
        alpha_bar_prev=np.array(after),
        guidance=np.full(steps, guidance, np.float64),
        clean=np.array([sqrt(b) for b in after]),
        direction=np.array([sqrt(max(0.0, 1 - b - s**2)) for b, s in zip(after, sigmas, strict=True)]),
        earlier=np.zeros((steps, 2)),
        sigma=np.array(sigmas),
        blend=index <= steps - unblended if blend == "after" else index == steps,
        known_signal=np.array([sqrt(b) if noised else 1.0 for b in after]),
        known_noise=np.array([sqrt(1 - b) if noised else 0.0 for b in after]),
        before=np.full(steps, blend == "before"),
        alone=np.zeros(steps, np.bool_),
        forecast=np.zeros((steps, 0)),
        prediction=schedule.settings.prediction,
    )


def ddim_sigma(alpha_bar: float, alpha_bar_prev: float, eta: float) -> float:
    """Standard deviation of a step's fresh noise."""
    return eta * sqrt((1 - alpha_bar_prev) / (1 - alpha_bar) * max(0.0, 1 - alpha_bar / alpha_bar_prev))
