"""A tiny model, a few rendered shards and short runs: what the tests of training on shards share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState, GradientState

from handfirst.training.loop.run import Data, train_stage
from handfirst.training.systems import stages_of
from handfirst.training.systems.two_stage.options import BodyOptions, HandOptions

SHORT: dict[str, Any] = {
    "steps": 6, "batch": 4, "lr": 1e-3, "warmup": 2, "precision": "no", "workers": 0, "log_every": 1,
    "validation_samples": 3, "validate_every": 100, "sheet_samples": 2, "sheet_steps": 2, "save_every": 100,
    "held_out": 0.35,
}  # fmt: skip
"""Options of a run of seconds."""


def hand_options(**changes: Any) -> HandOptions:
    return HandOptions.model_validate({**SHORT, **changes})


def body_options(**changes: Any) -> BodyOptions:
    return BodyOptions.model_validate({**SHORT, **changes})


def train(model: Path, shards: Path, options: HandOptions | BodyOptions, out: Path) -> Path | None:
    """train_stage() as a fresh process would run it."""
    leave_no_process_state()
    name = "hand" if isinstance(options, HandOptions) else "body"
    kind = stages_of("two-stage")[name]
    return train_stage(name, kind, model, Data((shards,), (1.0,)), options, out, show=False)


def leave_no_process_state() -> None:
    """accelerate keeps its state for the life of a process; a test has many runs in one."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
