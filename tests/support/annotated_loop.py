"""The loop of annotated hands once more: torch's network and noise, diffusers' DDIM; no line of the runtime's."""

from __future__ import annotations

import numpy as np
import torch
from support.ddim import ddim


@torch.no_grad()
def diffusers_loop(denoiser, settings, told, seed: int, steps: int, guidance: float, eta: float = 0.0) -> np.ndarray:
    """x_0 float32 [1, C, h, w].

    Args:
        told: what the network is told without and with, tensors of one row each, or (None, None).
    """
    scheduler = ddim(settings.schedule, steps)
    generator = torch.Generator().manual_seed(seed)
    shape = (settings.channels, settings.cells, settings.cells)
    # one draw for the whole run, as a stream of the runtime's is: torch's generator gives other numbers in pieces
    draws = torch.randn((1 + (steps if eta else 0), *shape), generator=generator)
    x_t = draws[:1]
    for i, t in enumerate(scheduler.timesteps):
        without, with_it = (denoiser(x_t, t[None], each) for each in told)
        prediction = without + guidance * (with_it - without)
        noise = draws[1 + i : 2 + i] if eta else None
        x_t = scheduler.step(prediction, t, x_t, eta=eta, variance_noise=noise).prev_sample
    return x_t.numpy()
