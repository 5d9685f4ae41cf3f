"""Runs a StepPlan over a network, one step at a time: a generator, so that progress, preview and cancel come for free.

Knows nothing about what the network is, where its conditions come from, or pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.engine import Tensor
from handfirst.runtime.blend import blend_latents
from handfirst.runtime.ddim import step, to_x0_eps
from handfirst.runtime.plan import StepPlan
from handfirst.runtime.recorder import span

Latents = NDArray[np.float32]

STEP = "step"
"""What a recorder calls guidance, DDIM and blending, everything between two predictions."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says about x_t: with the prompt, without it (None: no guidance), and named extras."""

    conditional: Latents
    unconditional: Latents | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Step:
    """One finished step: index 1..total, the time it started from, the new x_t, the clean estimate, the extras."""

    index: int
    total: int
    timestep: int
    x_t: Latents
    x_0: Latents
    extras: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Known:
    """What stays known while the rest is painted (paper, section III-C).

    Attributes:
        x_c: latents of the canvas [B, C, h, w].
        eps_0: the fixed noise that they are noised with, [B, C, h, w].
        kept: bool [B, S, h, w]: row s - 1 of an image says which cells are kept after step s.
    """

    x_c: Latents
    eps_0: Latents
    kept: NDArray[np.bool_]


def guide(prediction: Prediction, guidance: float) -> Latents:
    """Classifier-free guidance: u + g (c - u)."""
    if prediction.unconditional is None:
        return prediction.conditional
    u = prediction.unconditional
    return u + np.float32(guidance) * (prediction.conditional - u)


def denoise(
    predict: Callable[[Latents, int], Prediction],
    x_T: Latents,
    plan: StepPlan,
    known: Known | None = None,
    noise: Callable[[int], Latents] | None = None,
) -> Iterator[Step]:
    """Yields every step of the plan; nothing of one image depends on the others in the batch.

    Args:
        predict: (x_t [B, C, h, w], timestep) -> Prediction.
        x_T: the starting noise [B, C, h, w], float32.
        known: region to keep, or None.
        noise: step index -> standard normal like x_T; needed where the plan's sigma is not 0.
    """
    x_t = x_T
    for row in range(len(plan)):
        t, alpha_bar = int(plan.timestep[row]), float(plan.alpha_bar[row])
        prediction = predict(x_t, t)
        with span(STEP):
            x_0, eps = to_x0_eps(guide(prediction, plan.guidance), x_t, alpha_bar, plan.prediction)
            sigma = float(plan.sigma[row])
            fresh = noise(row + 1) if noise is not None and sigma > 0 else None
            x_t = step(x_0, eps, float(plan.alpha_bar_prev[row]), sigma, fresh)
            if known is not None and plan.blend[row]:
                x_t = _blended(x_t, known, plan, row)
        yield Step(row + 1, len(plan), t, x_t, x_0, prediction.extras)


def _blended(x_t: Latents, known: Known, plan: StepPlan, row: int) -> Latents:
    """The known region put in, as noisy as the rest is after this step."""
    source = np.float32(plan.known_signal[row]) * known.x_c + np.float32(plan.known_noise[row]) * known.eps_0
    return blend_latents(x_t, source, known.kept[:, row])
