"""DDIM steps against diffusers, over whole trajectories."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from handfirst.runtime.diffusion.noise import randn
from handfirst.runtime.diffusion.sampler import Prediction, denoise, step, to_x0_eps
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.table import Row, Schedule, ddim_sigma, ddim_table

SHAPE = (2, 4, 8, 8)


def network(x: np.ndarray, t: int) -> np.ndarray:
    """Any smooth function will do."""
    return (0.5 * np.tanh(0.7 * x + t / 1000)).astype(np.float32)


@pytest.mark.parametrize("eta", [0.0, 0.7])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize(
    ("betas", "spacing", "offset"), [("scaled_linear", "leading", 1), ("squaredcos_cap_v2", "trailing", 0)]
)
def test_twenty_steps_equal_diffusers(prediction: str, eta: float, betas: str, spacing: str, offset: int) -> None:
    settings = ScheduleSettings(betas=betas, spacing=spacing, steps_offset=offset, prediction=prediction)  # type: ignore[arg-type]
    theirs = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule=betas, timestep_spacing=spacing, steps_offset=offset,
        prediction_type=prediction, set_alpha_to_one=False, clip_sample=False,
    )  # fmt: skip
    theirs.set_timesteps(20)
    fresh = [randn(100 + i, SHAPE) for i in range(21)]
    plan = ddim_table(Schedule(settings), 20, guidance=1.0, eta=eta)
    ours = [
        s.x_t for s in denoise(lambda x, t: Prediction(network(x, t)), randn(3, SHAPE), plan, noise=lambda i: fresh[i])
    ]
    x = torch.from_numpy(randn(3, SHAPE))
    for i, t in enumerate(theirs.timesteps, 1):
        out = torch.from_numpy(network(x.numpy(), int(t)))
        x = theirs.step(out, t, x, eta=eta, variance_noise=torch.from_numpy(fresh[i])).prev_sample
        scale = float(x.abs().max())  # eps at alpha_bar near 0 blows x up a thousandfold: compare relative to it
        assert np.abs(ours[i - 1] - x.numpy()).max() <= 1e-4 * max(1.0, scale)


def row(alpha_bar: float, alpha_bar_prev: float = 1.0, **fields: object) -> Row:
    """A step of DDIM between two times."""
    table = ddim_table(Schedule(ScheduleSettings()), 1, guidance=1.0)
    before, after = np.array([alpha_bar]), np.array([alpha_bar_prev])
    changed = replace(table, alpha_bar=before, clean=np.sqrt(after), direction=np.sqrt(1 - after))
    return replace(changed.row(1), **fields)  # type: ignore[arg-type]


def test_the_three_predictions_say_the_same() -> None:
    x_0, eps, a = randn(1, SHAPE), randn(2, SHAPE), 0.3
    x_t = np.float32(a**0.5) * x_0 + np.float32((1 - a) ** 0.5) * eps
    v = np.float32(a**0.5) * eps - np.float32((1 - a) ** 0.5) * x_0
    for kind, said in (("epsilon", eps), ("sample", x_0), ("v_prediction", v)):
        for found, true in zip(to_x0_eps(said, x_t, row(a, prediction=kind)), (x_0, eps), strict=True):
            np.testing.assert_allclose(found, true, atol=1e-5)


def test_one_step_by_hand() -> None:
    one = np.ones((1, 1, 1, 1), np.float32)
    x_t = np.float32(0.6) * 2 * one + np.float32(0.8) * 3 * one  # x_0 = 2, eps = 3 at alpha_bar = 0.36
    x, x_0 = step(x_t, 3 * one, row(0.36, 0.64))
    assert x.item() == pytest.approx(0.8 * 2 + 0.6 * 3) and x_0.item() == pytest.approx(2)
    s = ddim_sigma(0.5, 0.8, 1.0)
    assert s == pytest.approx(((1 - 0.8) / (1 - 0.5) * (1 - 0.5 / 0.8)) ** 0.5)
    with pytest.raises(ValueError, match="needs noise"):
        step(x_t, 3 * one, row(0.36, 0.8, sigma=s))


def test_a_step_is_linear_in_all_that_it_reads() -> None:
    """x_t, the prediction, two earlier estimates and fresh noise: what another solver, or a kernel, may rely on."""
    some = row(0.36, 0.64, earlier=(0.3, -0.1), sigma=0.2)

    def taken(x_t: np.ndarray, said: np.ndarray, first: np.ndarray, second: np.ndarray, z: np.ndarray) -> np.ndarray:
        return step(x_t, said, some, (first, second), z)[0]

    a, b = ([randn(seed + i, SHAPE) for i in range(5)] for seed in (10, 20))
    both = taken(*(2 * x + y for x, y in zip(a, b, strict=True)))
    np.testing.assert_allclose(both, 2 * taken(*a) + taken(*b), atol=1e-4)
    with pytest.raises(ValueError, match="2 earlier estimates, got 1"):
        step(a[0], a[1], some, a[2:3], a[4])
