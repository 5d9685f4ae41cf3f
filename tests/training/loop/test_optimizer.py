"""Muon on convolutions, against torch's own on the flattened weight, in either memory format; the learning rate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from handfirst.training.loop import optimizer as chosen
from handfirst.training.loop.muon import Float32Muon, orthogonal
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
def test_a_step_is_torchs_muon_on_the_matrix_and_adamw_on_the_rest(
    memory_format: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "computes_in", lambda _: "bf16")
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


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (24, 24)])
def test_in_float32_it_is_torchs_muon_but_for_bfloat16s_rounding(shape: tuple[int, int]) -> None:
    draws = torch.Generator().manual_seed(2)
    start = torch.randn(shape, generator=draws)
    mine, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizers = [kind([p], lr=0.02, weight_decay=0.1) for kind, p in ((Float32Muon, mine), (torch.optim.Muon, theirs))]
    for _ in range(4):
        mine.grad = torch.randn(shape, generator=draws)
        theirs.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert (mine - theirs).norm() < 0.02 * (theirs - start).norm()
    told = optimizers[0].state_dict()
    optimizers[1].load_state_dict(told)  # a checkpoint of either goes on with the other
    assert set(told["state"][0]) == {"momentum_buffer"}


def test_an_update_is_nearly_orthogonal_and_has_the_matrixs_own_directions() -> None:
    matrix = torch.randn(12, 30, generator=torch.Generator().manual_seed(3))
    update = orthogonal(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7)
    assert update.dtype == torch.float32
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    values = u.T @ update @ vt.T
    assert torch.allclose(values, torch.diag(torch.diag(values)), atol=1e-3)
    assert (values.diag() > 0.6).all() and (values.diag() < 1.25).all()  # Jordan's coefficients do not converge to 1


def test_without_bfloat16_it_is_float32s(monkeypatch: pytest.MonkeyPatch) -> None:
    for answer, kind in (("no", Float32Muon), ("bf16", torch.optim.Muon)):
        monkeypatch.setattr(chosen, "computes_in", lambda _, answer=answer: answer)
        made = build_optimizer(network(), OPTIONS)
        assert isinstance(made, chosen.MuonBesideAdamW) and type(made._parts["muon"]) is kind


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
