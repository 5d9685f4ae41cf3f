"""Two processes that share a batch train as one does: the same losses and the same gradients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.finetuning import SHORT, hand_options, train

from handfirst.engines.errors import UserError
from handfirst.training.loop.journal import LOSSES, VALIDATION, read_journal

pytestmark = pytest.mark.long


def test_two_processes_equal_one(tiny: Path, hands: Path, tmp_path: Path) -> None:
    """gloo on the CPU, as torchrun or `accelerate launch` start processes on GPUs."""
    one, two, config = tmp_path / "one", tmp_path / "two", tmp_path / "short.toml"
    train(tiny, hands, hand_options(), one)
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in SHORT.items()))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "handfirst.runtime.cli.main", "train", "two-stage", "hand", str(tiny)]
    command += ["--data", str(hands), "--out", str(two), "--config", str(config), "--quiet"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model:") == 1
    for name in (LOSSES, VALIDATION):
        rows, others = read_journal(one / name), read_journal(two / name)
        assert len(rows) == len(others)
        for row, other in zip(rows, others, strict=True):  # "gradient_norm" is that of the whole gradient
            assert row == pytest.approx(other, rel=1e-4)


def test_processes_that_do_not_know_of_each_other_are_refused(
    tiny: Path, hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would write over each other's files."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="expected 2 processes that know of each other, got 1 alone"):
        train(tiny, hands, hand_options(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
