"""Losses and noising against diffusers and formulas by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler

from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.table import Schedule
from handfirst.training.losses import add_noise, mask_loss, noise_loss, target, weight


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    t = torch.tensor([3, 400, 998])
    return torch.randn(3, 4, 8, 8, generator=generator), torch.randn(3, 4, 8, 8, generator=generator), t


def alpha_bar(t: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(Schedule(ScheduleSettings()).alpha_bar).float()[t]


def reference() -> DDIMScheduler:
    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def test_noising_equals_diffusers(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    x_0, eps, t = batch
    torch.testing.assert_close(add_noise(x_0, eps, alpha_bar(t)), reference().add_noise(x_0, eps, t))


def test_targets(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    x_0, eps, t = batch
    a = alpha_bar(t)
    assert target(x_0, eps, a, "epsilon") is eps
    assert target(x_0, eps, a, "sample") is x_0
    torch.testing.assert_close(target(x_0, eps, a, "v_prediction"), reference().get_velocity(x_0, eps, t))


def test_weight_is_one_for_eps_and_makes_an_error_of_x_0_one_of_v() -> None:
    a = torch.tensor([0.1, 0.5, 0.99])
    assert weight(a, ScheduleSettings(), 5).tolist() == [1, 1, 1]
    capped = weight(a, ScheduleSettings(prediction="sample"), 5)
    torch.testing.assert_close(capped, torch.tensor([1 / 0.9, 2.0, 5.0]))
    x_0, eps, wrong = torch.randn(3, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0)).unbind(0)
    b = a[:, None, None, None]
    x_t = add_noise(x_0, eps, a)
    implied_v = (b.sqrt() * x_t - wrong) / (1 - b).sqrt()  # of the x_0 that was predicted
    error = ((implied_v - target(x_0, eps, a, "v_prediction")) ** 2).mean((1, 2, 3))
    uncapped = weight(a, ScheduleSettings(prediction="sample"), 1e9)
    torch.testing.assert_close(((wrong - x_0) ** 2).mean((1, 2, 3)) * uncapped, error)


def test_noise_loss_is_mse_and_the_masked_one_sees_only_its_region() -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 4, 8, 8, generator=generator)
    ones = torch.ones(2)
    torch.testing.assert_close(noise_loss(a, b, ones), F.mse_loss(a, b))
    region = torch.zeros(2, 1, 8, 8)
    region[:, :, :, :4] = 1
    torch.testing.assert_close(noise_loss(a, b, ones, region), F.mse_loss(a[..., :4], b[..., :4]))
    wild = torch.where(region > 0, a, a + 100)
    torch.testing.assert_close(noise_loss(wild, b, ones, region), noise_loss(a, b, ones, region))


def test_gradients_numerically() -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, 1, 4, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, 1, 4, 4, generator=generator, dtype=torch.float64)
    region = (torch.rand(2, 1, 4, 4, generator=generator) > 0.5).double()
    assert torch.autograd.gradcheck(lambda p: noise_loss(p, y, torch.ones(2), region), (x,))
    assert torch.autograd.gradcheck(lambda p: mask_loss(p, y), (x,))
