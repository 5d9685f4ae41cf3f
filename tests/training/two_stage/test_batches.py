"""The losses of a batch on tiny networks: gradients by finite differences, blending as the runtime blends."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from support.tiny_model import tiny_model, tiny_settings
from torch import Tensor, nn

from handfirst.runtime.diffusion.sampler import Known, blend
from handfirst.runtime.diffusion.table import Schedule, ddim_table
from handfirst.runtime.systems.two_stage.settings import BodySettings
from handfirst.training.losses import Noising
from handfirst.training.systems.two_stage.tasks import BodyBatch, HandBatch, blended, body_losses, hand_losses


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def hand_batch(count: int = 2) -> HandBatch:
    settings = tiny_settings()
    return HandBatch(
        x_0=numbers(count, 4, 8, 8, seed=0),
        eps=numbers(count, 4, 8, 8, seed=1),
        t=torch.tensor([30, 800][:count]),
        c_p=numbers(count, settings.condition_channels, 8, 8, seed=2).abs(),
        context=numbers(count, 16, 32, seed=3),
        mask=(numbers(count, 1, 64, 64, seed=4) > 0).double(),
    )


def body_batch(count: int = 2) -> BodyBatch:
    return BodyBatch(
        x_0=numbers(count, 4, 8, 8, seed=0),
        eps=numbers(count, 4, 8, 8, seed=1),
        t=torch.tensor([30, 800][:count]),
        context=numbers(count, 16, 32, seed=3),
        hint=numbers(count, 4, 64, 64, seed=5).abs(),
        canvas=numbers(count, 4, 8, 8, seed=6),
        kept=numbers(count, 1, 8, 8, seed=7) > 0.8,
        region=numbers(count, 1, 8, 8, seed=7) <= 0.8,
    )


def slope_error(model: nn.Module, loss: Tensor, again: object, parameters: list[nn.Parameter]) -> float:
    """Relative error of the gradient along a random direction against a central difference in float64."""
    loss.backward()
    generator = torch.Generator().manual_seed(9)
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    slope = sum(float((p.grad * d).sum()) for p, d in zip(parameters, directions, strict=True) if p.grad is not None)
    step, values = 1e-6, []
    for sign in (1, -1):
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.add_(sign * step * d)
            values.append(float(again()))  # type: ignore[operator]
            for p, d in zip(parameters, directions, strict=True):
                p.sub_(sign * step * d)
    return abs(slope - (values[0] - values[1]) / (2 * step)) / abs(slope)


def test_the_hand_losses_gradient_is_that_of_finite_differences() -> None:
    model = tiny_model().hand.double()
    noising, batch = Noising(tiny_settings().schedule, 5.0).double(), hand_batch()

    def loss() -> Tensor:
        return torch.stack(list(hand_losses(model, batch, noising, 0.5).values())).sum()

    assert slope_error(model, loss(), loss, list(model.parameters())) < 1e-5
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.mask_head.parameters())


@pytest.mark.parametrize("source", ["noised", "clean"])
def test_the_body_loss_gradient_is_that_of_finite_differences(source: str) -> None:
    model = tiny_model().body.double()
    model.unet.requires_grad_(False)
    settings = BodySettings(height=64, width=64, blend_source=source)  # type: ignore[arg-type]
    noising, batch = Noising(tiny_settings().schedule, 5.0).double(), body_batch()

    def loss() -> Tensor:
        return body_losses(model, batch, noising, settings)["noise"]

    assert slope_error(model, loss(), loss, list(model.controlnet.parameters())) < 1e-5
    assert all(p.grad is None for p in model.unet.parameters())


@pytest.mark.parametrize("source", ["noised", "clean"])
def test_a_training_batch_is_blended_as_the_sampler_blends(source: str) -> None:
    """The sampler's table at the moment when it arrives at time t (runtime/diffusion)."""
    schedule = Schedule(tiny_settings().schedule)
    steps = 50
    table = ddim_table(schedule, steps, 1.0, blend_source=source)  # type: ignore[arg-type]
    row, t = 20, schedule.timesteps(steps)[20][1]
    batch = dataclasses.replace(body_batch(1), t=torch.tensor([t]))
    assert batch.canvas is not None and batch.kept is not None
    settings = BodySettings(height=64, width=64, blend_source=source)  # type: ignore[arg-type]
    got = blended(batch, Noising(tiny_settings().schedule, 5.0), settings).numpy()
    a = float(schedule.alpha_bar[t])
    x_t = a**0.5 * batch.x_0.numpy() + (1 - a) ** 0.5 * batch.eps.numpy()
    kept = np.zeros((1, steps, 8, 8), np.bool_)
    kept[:, row] = batch.kept.numpy()[:, 0]
    known = Known(batch.canvas.numpy(), batch.eps.numpy(), kept)
    np.testing.assert_allclose(got, blend(x_t, known, table.row(row + 1)), atol=1e-6)


def test_what_lies_under_the_hands_does_not_count() -> None:
    model = tiny_model().body.double()
    noising, batch, settings = Noising(tiny_settings().schedule, 5.0).double(), body_batch(), BodySettings()
    assert batch.kept is not None
    other = dataclasses.replace(batch, x_0=torch.where(batch.kept, batch.x_0 + 5, batch.x_0))
    a, b = (body_losses(model, x, noising, settings)["noise"] for x in (batch, other))
    torch.testing.assert_close(a, b, rtol=1e-12, atol=0)


def test_the_loss_of_a_batch_is_the_mean_of_its_parts() -> None:
    """So that accumulating over parts or processes changes nothing."""
    model, noising = tiny_model().hand.double(), Noising(tiny_settings().schedule, 5.0).double()
    batch = hand_batch()
    parts = [HandBatch(*(getattr(batch, f.name)[i : i + 1] for f in dataclasses.fields(batch))) for i in range(2)]
    whole = hand_losses(model, batch, noising, 0.5)
    for name, loss in whole.items():
        mean = torch.stack([hand_losses(model, part, noising, 0.5)[name] for part in parts]).mean()
        torch.testing.assert_close(loss, mean, rtol=1e-9, atol=0)
