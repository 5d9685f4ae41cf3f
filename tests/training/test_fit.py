"""The loop: a killed run goes on exactly where it was; time and steps end it; a broken loss is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from handfirst.training import fit as fit_module
from handfirst.training.fit import Clock, Phase, fit
from handfirst.training.systems.two_stage.options import PhaseOptions

OPTIONS = PhaseOptions(minutes=1, batch=4, lr=1e-2, warmup=2, ema=0.5)


def phase(stop_at: int | None = None, value: float = 1.0) -> Phase:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 1))

    def losses(module: nn.Module, step: int) -> dict[str, Tensor]:
        if step == stop_at:
            raise KeyboardInterrupt
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        return {"mse": value * ((module(x) - x.sum(1, keepdim=True)) ** 2).mean()}

    return Phase("toy", model, losses)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.flatten() for p in model.parameters()])


@pytest.mark.parametrize("matrix_lr", [None, 0.02])
def test_a_killed_run_resumes_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matrix_lr: float | None) -> None:
    options = OPTIONS.model_copy(update={"matrix_lr": matrix_lr})
    whole = fit(phase(), options, tmp_path / "whole", max_steps=60, show=False)
    monkeypatch.setattr(fit_module, "SAVE_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        fit(phase(stop_at=31), options, tmp_path / "killed", max_steps=60, show=False)
    resumed = fit(phase(), options, tmp_path / "killed", max_steps=60, show=False)
    assert torch.equal(weights(whole), weights(resumed))
    rows = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in file.read_text().splitlines()]
        for file in (tmp_path / "whole" / "losses.jsonl", tmp_path / "killed" / "losses.jsonl")
    ]
    assert rows[0] == rows[1]


def test_the_loss_falls_and_a_finished_phase_is_not_trained_again(tmp_path: Path) -> None:
    model = fit(phase(), OPTIONS, tmp_path, max_steps=100, show=False)
    rows = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert rows[-1]["mse"] < 0.5 * rows[0]["mse"]
    again = fit(phase(stop_at=100), OPTIONS, tmp_path, max_steps=100, show=False)
    assert torch.equal(weights(model), weights(again))


def test_a_loss_that_is_not_finite_is_named(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="toy: the loss of step 0"):
        fit(phase(value=float("nan")), OPTIONS, tmp_path, max_steps=5, show=False)


def test_progress_counts_training_time_or_steps() -> None:
    assert Clock(step=5, seconds=30).progress(minutes=1, max_steps=None) == 0.5
    assert Clock(step=5, seconds=30).progress(minutes=1, max_steps=20) == 0.25
