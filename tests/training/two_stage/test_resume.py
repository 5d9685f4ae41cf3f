"""A killed run goes on exactly where it was; one that is asked to stop saves first; a changed one is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from support.finetuning import SHORT, hand_options, train
from torch import Tensor
from typer.testing import CliRunner

from handfirst.engines.errors import UserError
from handfirst.training.cli import app
from handfirst.training.loop.journal import LOSSES, VALIDATION, Journal, read_journal
from handfirst.training.systems.two_stage.tasks import HandBatch, HandTask

pytestmark = pytest.mark.long

CHANGES: dict[str, Any] = {"steps": 14, "save_every": 4, "validate_every": 5}


@pytest.fixture(scope="module")
def uninterrupted(tiny: Path, hands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 steps in one go."""
    out = tmp_path_factory.mktemp("uninterrupted")
    train(tiny, hands, hand_options(**CHANGES), out)
    return out


def start(tiny: Path, hands: Path, out: Path, steps: int) -> subprocess.Popen[bytes]:
    """The command in a process of its own."""
    config = out.with_suffix(".json.toml")
    options = {**SHORT, **CHANGES, "steps": steps}
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items()))
    command = [sys.executable, "-m", "handfirst.runtime.cli.main", "train", "two-stage", "hand", str(tiny)]
    command += ["--data", str(hands), "--out", str(out), "--config", str(config), "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Until a file is there."""
    for _ in range(3000):
        if path.exists():
            return
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.02)
    raise AssertionError(f"{path} never came")


def weights(out: Path) -> dict[str, Any]:
    state = torch.load(out / "checkpoints" / "step-0000014.pt", weights_only=True)
    return {**state["weights"], **{f"average.{i}": x for i, x in enumerate(state["average"]["shadow_params"])}}


def test_after_kill_9_the_curve_is_that_of_an_uninterrupted_run(
    uninterrupted: Path, tiny: Path, hands: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    process = start(tiny, hands, out, steps=10_000)  # it cannot come to its end before it is killed
    wait_for(out / "checkpoints" / "step-0000004.pt", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "model").exists()
    for newer in (out / "checkpoints").glob("step-*.pt"):  # however far it came: go on from step 4
        if newer.name != "step-0000004.pt":
            newer.unlink()
    if not (out / "checkpoints" / "step-0000004.pt").exists():
        pytest.fail("the checkpoint of step 4 was gone before the kill")
    train(tiny, hands, hand_options(**CHANGES), out)
    for name in (LOSSES, VALIDATION):
        assert (out / name).read_bytes() == (uninterrupted / name).read_bytes()
    assert len(read_journal(out / LOSSES)) == 14
    ours, theirs = weights(out), weights(uninterrupted)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_sigterm_saves_and_the_same_command_goes_on(
    uninterrupted: Path, tiny: Path, hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes in the middle of step 7."""
    whole, asked = HandTask.forward, []

    def interrupted(self: HandTask, batch: HandBatch) -> dict[str, Tensor]:
        asked.append(len(batch.t))
        if len(asked) == 8:  # one call was the validation before the first step
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(self, batch)

    monkeypatch.setattr(HandTask, "forward", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    assert train(tiny, hands, hand_options(**{**CHANGES, "validate_every": 100}), tmp_path) is None
    assert signal.getsignal(signal.SIGTERM) is before
    assert "step-0000007.pt" in {path.name for path in (tmp_path / "checkpoints").iterdir()}
    monkeypatch.undo()
    assert train(tiny, hands, hand_options(**CHANGES), tmp_path) == tmp_path / "model"
    assert (tmp_path / LOSSES).read_bytes() == (uninterrupted / LOSSES).read_bytes()


def test_the_command_says_that_it_was_stopped(
    tiny: Path, hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handfirst.training.loop.run.train_stage", lambda *args, **options: None)
    words = ["two-stage", "hand", str(tiny), "--data", str(hands), "--out", str(tmp_path / "run")]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 143 and "stopped and saved; the same command goes on" in said.stderr


def test_a_run_cannot_go_on_as_another_one(uninterrupted: Path, tiny: Path, hands: Path) -> None:
    with pytest.raises(UserError, match=r"begun with lr = 0.001, got 0.002; give another --out"):
        train(tiny, hands, hand_options(**CHANGES, lr=2e-3), uninterrupted)


def test_only_the_newest_checkpoints_are_kept(uninterrupted: Path) -> None:
    names = sorted(path.name for path in (uninterrupted / "checkpoints").iterdir())
    assert names == ["step-0000012.pt", "step-0000014.pt"]


def test_a_spoilt_checkpoint_is_one_clear_line(uninterrupted: Path, tiny: Path, hands: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-0000003.pt").write_bytes(b"half a file")
    with pytest.raises(UserError, match=r"step-0000003\.pt: cannot read the checkpoint") as caught:
        train(tiny, hands, hand_options(**CHANGES), tmp_path)
    assert "\n" not in str(caught.value)


def test_the_journal_takes_back_what_was_lost(tmp_path: Path) -> None:
    lines = ['{"step": 3, "noise": 1.0}', '{"step": 4, "noise": 0.9}', '{"step": 5, "noi']
    (tmp_path / LOSSES).write_text("\n".join(lines))
    with Journal(tmp_path, 3) as journal:
        journal.losses(4, {"noise": 0.8}, {})
    assert read_journal(tmp_path / LOSSES) == [{"step": 3, "noise": 1.0}, {"step": 4, "noise": 0.8}]
