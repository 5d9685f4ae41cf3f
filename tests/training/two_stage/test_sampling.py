"""Sampling for sample sheets against the runtime's own loop: same steps, same blending of what is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from handfirst.runtime.diffusion.sampler import Known, Prediction, denoise
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.table import Schedule, ddim_table
from handfirst.training.models.ddim import Kept, ddim

STEPS = 7


@pytest.mark.parametrize("source", ["noised", "clean"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_sheets_are_sampled_as_the_runtime_samples(prediction: str, source: str) -> None:
    schedule = Schedule(ScheduleSettings(prediction=prediction))  # type: ignore[arg-type]
    plan = ddim_table(schedule, STEPS, 1.0, unblended=2, blend_source=source)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    x_T, x_c = (rng.standard_normal((2, 4, 6, 6), dtype=np.float32) for _ in range(2))
    cells = rng.random((2, STEPS, 6, 6)) < 0.4

    def network(x: Tensor, t: int) -> Tensor:
        return torch.tanh(0.7 * x + t / 1000)

    def in_torch(x: Tensor, t: Tensor) -> Tensor:
        return network(x, int(t[0]))

    def in_numpy(x: np.ndarray, t: int) -> Prediction:
        return Prediction(network(torch.from_numpy(x), t).numpy())

    got = ddim(in_torch, torch.from_numpy(x_T), plan, Kept(torch.from_numpy(x_c), torch.from_numpy(cells)))
    *_, last = denoise(in_numpy, x_T, plan, Known(x_c, x_T, cells))
    np.testing.assert_allclose(got.numpy(), last.x_t, rtol=1e-4, atol=1e-4)
