"""Muon on convolutions, against torch's own on the flattened weight, in either memory format; the learning rate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from handfirst.training.loop.optimizer import as_matrix, build_optimizer, hidden_weights, learning_rate, scale
from handfirst.training.loop.options import LoopOptions

OPTIONS = LoopOptions(minutes=1, batch=4, lr=1e-2, matrix_lr=0.02, warmup=2, decay="cosine", floor=0.02)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 16, 3), nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, 1))


def loss(module: nn.Module) -> Tensor:
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    return (module(x) ** 2).mean()


def test_hidden_layers_are_those_with_channels_on_both_sides() -> None:
    module = network()
    assert [tuple(w.shape) for w in hidden_weights(module)] == [(16, 8, 3, 3), (8, 16)]
    module[1].requires_grad_(False)
    assert [tuple(w.shape) for w in hidden_weights(module)] == [(8, 16)]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_step_is_torchs_muon_on_the_matrix_and_adamw_on_the_rest(memory_format: torch.memory_format) -> None:
    module = network().to(memory_format=memory_format)
    reference = network()
    conv, rest = reference[1].weight, [p for p in reference.parameters() if p.shape != (16, 8, 3, 3)]
    matrix = nn.Parameter(conv.detach().flatten(1).clone())
    linear = reference[3].weight
    muon = torch.optim.Muon([matrix, linear], lr=0.01, weight_decay=OPTIONS.weight_decay)
    adamw = torch.optim.AdamW(
        [p for p in rest if p is not linear], lr=0.5 * OPTIONS.lr, weight_decay=OPTIONS.weight_decay
    )
    optimizer = build_optimizer(module, OPTIONS)
    scale(optimizer, 0.5)
    for _ in range(3):
        loss(module).backward()
        optimizer.step()
        optimizer.zero_grad()
        loss(reference).backward()
        assert conv.grad is not None
        matrix.grad = conv.grad.flatten(1)
        muon.step()
        adamw.step()
        conv.data.copy_(matrix.detach().view_as(conv))
        reference.zero_grad()
    assert all(p.grad is None for p in module.parameters())
    for a, b in zip(module.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0)  # bfloat16 inside of Muon, another order of columns


def test_a_matrix_is_a_view_in_either_memory_format() -> None:
    for memory_format in (torch.contiguous_format, torch.channels_last):
        weight = torch.randn(4, 3, 2, 2).to(memory_format=memory_format)
        as_matrix(weight).zero_()
        assert weight.eq(0).all()


def test_without_a_rate_for_matrices_it_is_adamw() -> None:
    optimizer = build_optimizer(network(), OPTIONS.model_copy(update={"matrix_lr": None}))
    assert type(optimizer) is torch.optim.AdamW


def test_the_rate_warms_up_and_falls_to_two_per_cent() -> None:
    assert learning_rate(OPTIONS, 0, 0.0) == pytest.approx(0.5)
    assert learning_rate(OPTIONS, 10, 0.0) == pytest.approx(1)
    assert learning_rate(OPTIONS, 10, 0.5) == pytest.approx(0.51)
    assert learning_rate(OPTIONS, 10, 1.0) == pytest.approx(0.02)


def test_a_constant_rate_only_warms_up() -> None:
    constant = OPTIONS.model_copy(update={"decay": "constant"})
    assert [learning_rate(constant, step, 1.0) for step in range(3)] == [0.5, 1.0, 1.0]
