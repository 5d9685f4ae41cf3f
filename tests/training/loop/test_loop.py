"""The loop: a killed run goes on exactly where it was; time and steps end it; a broken loss is named."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils._python_dispatch import TorchDispatchMode

from handfirst.engines.errors import UserError
from handfirst.training.loop.checkpoints import Checkpoints
from handfirst.training.loop.feed import Share, StepFeed
from handfirst.training.loop.journal import LOSSES, read_journal
from handfirst.training.loop.loop import Loop
from handfirst.training.loop.machine import Clock, make_accelerator
from handfirst.training.loop.options import LoopOptions
from handfirst.training.loop.task import Task

OPTIONS = LoopOptions(
    steps=60, batch=4, lr=1e-2, warmup=2, decay="cosine", floor=0.02, ema=0.5, precision="auto", log_every=25,
    save_every=25,
)  # fmt: skip


class Toy(Task):
    """Learns the sum of three numbers; `value` scales its loss."""

    def __init__(self, value: float = 1.0) -> None:
        torch.manual_seed(0)
        remembers = spectral_norm(nn.Linear(8, 8))  # in its buffers
        layers = nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 8), nn.SiLU(), remembers, nn.SiLU(), nn.Linear(8, 1)
        super().__init__("toy", nn.Sequential(*layers))
        self.value = value

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"mse": self.value * ((self.model(batch) - batch.sum(1, keepdim=True)) ** 2).mean()}


def fit(
    folder: Path,
    options: LoopOptions = OPTIONS,
    stop_at: int | None = None,
    term_at: int | None = None,
    value: float = 1.0,
) -> nn.Module:
    def make(step: int) -> Tensor:
        if step == stop_at:
            raise KeyboardInterrupt
        if step == term_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return torch.randn(4, 3, generator=torch.Generator().manual_seed(step))

    folder.mkdir(exist_ok=True)
    loop = Loop(Toy(value), StepFeed(make), options, folder, make_accelerator(options, cpu=True), show=False)
    assert loop.run()
    return loop.task.model


def weights(model: nn.Module) -> Tensor:
    return torch.cat([x.flatten() for x in model.state_dict().values()])


@pytest.mark.parametrize("matrix_lr", [None, 0.02])
def test_a_killed_run_resumes_exactly(tmp_path: Path, matrix_lr: float | None) -> None:
    options = OPTIONS.model_copy(update={"matrix_lr": matrix_lr})
    whole = fit(tmp_path / "whole", options)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", options, stop_at=31)
    resumed = fit(tmp_path / "killed", options)
    assert torch.equal(weights(whole), weights(resumed))
    assert (tmp_path / "whole" / LOSSES).read_bytes() == (tmp_path / "killed" / LOSSES).read_bytes()
    assert [row["step"] for row in read_journal(tmp_path / "whole" / LOSSES)] == [1, 25, 50, 60]


def test_a_run_that_counts_minutes_notes_them_and_saves_by_them(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"steps": None, "minutes": 2 / 60, "save_every": None, "save_minutes": 1e-9})
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, options, stop_at=3)
    assert torch.load(tmp_path / "checkpoints" / "step-0000003.pt", weights_only=True)["seconds"] > 0
    fit(tmp_path, options)
    last = read_journal(tmp_path / LOSSES)[-1]
    assert 2 <= last["seconds"] < 4 and last["step"] > 3


def test_the_loss_falls_and_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"steps": 100})
    model = fit(tmp_path, options)
    rows = read_journal(tmp_path / LOSSES)
    assert rows[-1]["mse"] < 0.5 * rows[0]["mse"]
    again = fit(tmp_path, options, stop_at=100)
    assert torch.equal(weights(model), weights(again))


def test_a_loss_that_is_not_finite_is_named_with_its_step_and_never_saved(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="toy: the loss of step 0 is not finite"):
        fit(tmp_path, value=float("nan"))
    late = OPTIONS.model_copy(update={"lr": 1e30, "warmup": 0, "clip": 1e30, "decay": "constant"})
    with pytest.raises(UserError, match=r"toy: the loss of step [1-9]\d* is not finite"):
        fit(tmp_path, late)
    assert not (tmp_path / "checkpoints").exists()


class Waits(TorchDispatchMode):
    """Counts what would make the host wait for a GPU: reading a number out of a tensor."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("matrix_lr", [None, 0.02])
def test_the_host_waits_at_looks_alone(tmp_path: Path, matrix_lr: float | None) -> None:
    with Waits() as waits:
        fit(tmp_path, OPTIONS.model_copy(update={"matrix_lr": matrix_lr}))
    assert waits.count == 4  # steps 1, 25, 50, 60


def test_a_run_that_is_asked_to_stop_saves_first_and_goes_on_exactly(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(AssertionError):  # run() says that it did not finish
        fit(tmp_path / "asked", term_at=31)
    assert signal.getsignal(signal.SIGTERM) is before
    assert (tmp_path / "asked" / "checkpoints" / "step-0000032.pt").is_file()
    assert torch.equal(weights(whole), weights(fit(tmp_path / "asked")))
    assert (tmp_path / "whole" / LOSSES).read_bytes() == (tmp_path / "asked" / LOSSES).read_bytes()


def test_a_checkpoint_is_of_the_moment_it_was_asked_for(tmp_path: Path) -> None:
    """What is written behind the training's back is what the weights were, not what they become meanwhile."""
    kept, weight = Checkpoints(tmp_path, keep=2), torch.arange(1e6)
    kept.save(1, {"weights": {"a": weight}, "list": [weight], "none": None}, behind=True)
    weight.zero_()
    kept.save(2, {"weights": {"a": weight}}, behind=True)
    kept.wait()
    assert kept.steps() == [1, 2]
    first = torch.load(tmp_path / "checkpoints" / "step-0000001.pt", weights_only=True)
    assert torch.equal(first["weights"]["a"], torch.arange(1e6)) and first["none"] is None
    newest = kept.load()
    assert newest is not None and newest["step"] == 2 and not newest["weights"]["a"].any()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what is mapped")
def test_a_checkpoint_that_is_read_stays_in_its_file(tmp_path: Path) -> None:
    """So that processes of one machine share its memory."""
    kept = Checkpoints(tmp_path)
    kept.save(7, {"weights": {"a": torch.arange(1e6)}})
    state = kept.load()
    assert state is not None
    address = state["weights"]["a"].data_ptr()
    rows = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "step-0000007.pt" in line]
    spans = [tuple(int(end, 16) for end in row[0].split("-")) for row in rows]
    assert any(low <= address and address + 4_000_000 <= high for low, high in spans)


@dataclass(frozen=True)
class Parts:
    """Samples by their place in the run, however the batch is cut."""

    epoch: int | None = None

    def batches(self, first: int, share: Share, device: torch.device) -> Iterator[Tensor]:
        places = share.places(first, 10**6)
        while True:
            yield torch.stack(
                [torch.randn(3, generator=torch.Generator().manual_seed(next(places))) for _ in range(share.size)]
            )


def test_the_average_moves_once_a_step_however_the_batch_is_cut(tmp_path: Path) -> None:
    """Against s <- d s + (1 - d) w of the weights after every step, d = min(ema, (1 + n) / (10 + n))."""
    options = OPTIONS.model_copy(update={"steps": 12, "ema": 0.7, "save_every": 1, "keep": 12})
    for accumulate in (1, 4):
        cut = options.model_copy(update={"accumulate": accumulate})
        folder = tmp_path / str(accumulate)
        folder.mkdir()
        loop = Loop(Toy(), Parts(), cut, folder, make_accelerator(cut, cpu=True), show=False)
        start = [p.detach().clone() for p in loop.task.parameters()]
        assert loop.run()
        files = sorted((folder / "checkpoints").glob("step-*.pt"))
        assert len(files) == 12
        average = start
        for n, file in enumerate(files):
            state = torch.load(file, weights_only=True)
            decay = min(0.7, (1 + n) / (10 + n)) if n else 0.0
            average = [decay * s + (1 - decay) * w for s, w in zip(average, state["weights"].values(), strict=True)]
        assert state["average"]["optimization_step"] == 12
        for ours, wanted in zip(state["average"]["shadow_params"], average, strict=True):
            torch.testing.assert_close(ours, wanted)


def test_a_disk_that_is_full_is_told_at_the_next_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    kept = Checkpoints(tmp_path)
    monkeypatch.setattr(torch, "save", full)
    kept.save(1, {}, behind=True)
    with pytest.raises(OSError, match="No space left"):
        kept.save(2, {}, behind=True)
    assert kept.steps() == []


def test_progress_counts_training_time_or_steps() -> None:
    minute = OPTIONS.model_copy(update={"steps": None, "minutes": 1})
    assert Clock(step=5, seconds=30).progress(minute) == 0.5
    assert Clock(step=5, seconds=30).progress(minute.model_copy(update={"steps": 20})) == 0.25


def test_a_length_is_steps_or_minutes() -> None:
    for length in ({}, {"steps": 3, "minutes": 1.0}):
        with pytest.raises(ValueError, match="steps or minutes, one of them"):
            LoopOptions.model_validate(length)
