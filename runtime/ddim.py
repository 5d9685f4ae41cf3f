"""One step of DDIM as one formula without state (Song et al., eq. 12; the paper's eq. 6 with alpha_bar throughout).

Knows nothing about schedules, guidance or masks.
"""

from __future__ import annotations

from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

PredictionKind = Literal["epsilon", "v_prediction", "sample"]
Latents = NDArray[np.float32]


def to_x0_eps(prediction: Latents, x_t: Latents, alpha_bar: float, kind: PredictionKind) -> tuple[Latents, Latents]:
    """What the network said, as (x_0, eps), both like x_t [B, C, h, w].

    Args:
        prediction: eps, v = sqrt(a) eps - sqrt(1 - a) x_0, or x_0, as `kind` says.
        alpha_bar: a = alpha_bar_t in (0, 1).
    """
    signal, noise = np.float32(sqrt(alpha_bar)), np.float32(sqrt(1 - alpha_bar))
    if kind == "epsilon":
        return np.asarray((x_t - noise * prediction) / signal, np.float32), prediction
    if kind == "sample":
        return prediction, np.asarray((x_t - signal * prediction) / noise, np.float32)
    return signal * x_t - noise * prediction, signal * prediction + noise * x_t


def sigma(alpha_bar: float, alpha_bar_prev: float, eta: float) -> float:
    """Standard deviation of the step's fresh noise; eta 0 is deterministic, 1 is DDPM's."""
    return eta * sqrt((1 - alpha_bar_prev) / (1 - alpha_bar) * max(0.0, 1 - alpha_bar / alpha_bar_prev))


def step(
    x_0: Latents, eps: Latents, alpha_bar_prev: float, sigma_t: float = 0.0, noise: Latents | None = None
) -> Latents:
    """x_t' = sqrt(a') x_0 + sqrt(1 - a' - sigma^2) eps + sigma z.

    Args:
        x_0, eps: from to_x0_eps, [B, C, h, w].
        alpha_bar_prev: a' of the next, less noisy time.
        sigma_t: from sigma(); with 0, `noise` is not read.
        noise: z, standard normal like x_0.
    """
    direction = np.float32(sqrt(max(0.0, 1 - alpha_bar_prev - sigma_t**2)))
    x: Latents = np.float32(sqrt(alpha_bar_prev)) * x_0 + direction * eps
    if sigma_t > 0:
        if noise is None:
            raise ValueError("a step with sigma > 0 needs noise")
        x = x + np.float32(sigma_t) * noise
    return x
