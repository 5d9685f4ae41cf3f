"""A run's checkpoints: everything that going on exactly needs, one file each, and never half a file.

Only what training changes is in it: frozen networks are in the model that the run began with. Nothing in a file is
executed when it is read. Knows nothing about what the state is of.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path

FOLDER, OPTIONS = "checkpoints", "options.json"
_NAME = re.compile(r"step-(\d{7})\.pt")


class Checkpoints:
    """The files checkpoints/step-0000500.pt, ... of a run.

    Args:
        run: the run's folder; theirs is made when the first is saved.
        keep: how many of the newest are kept.
    """

    def __init__(self, run: Path, keep: int = 1) -> None:
        self.folder = run / FOLDER
        self.keep = keep
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def save(self, step: int, state: dict[str, Any], behind: bool = False) -> None:
        """Writes the state after `step` steps, then removes the oldest.

        Args:
            behind: only copies it to the host's memory now, and writes while the training goes on; whatever goes wrong
                then is raised by the next `save`, or by `wait`.
        """
        self.wait()
        if behind:
            self._writing = self._writer.submit(self._write, step, copied(state))
        else:
            self._write(step, state)

    def wait(self) -> None:
        """Until all is written."""
        if (writing := self._writing) is not None:
            self._writing = None
            writing.result()

    def _write(self, step: int, state: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self._file(step)) as temporary:
            torch.save({"step": step, **state}, temporary)
        for old in self.steps()[: -self.keep]:
            self._file(old).unlink(missing_ok=True)

    def steps(self) -> list[int]:
        """What there is, oldest first."""
        found = (_NAME.fullmatch(path.name) for path in self.folder.glob("step-*.pt"))
        return sorted(int(match[1]) for match in found if match)

    def load(self) -> dict[str, Any] | None:
        """The newest, on the CPU, with its "step"; None where there is none.

        Its tensors stay in the file until they are read, so that several processes share one copy of them.

        Raises:
            UserError: it cannot be read.
        """
        if not (steps := self.steps()):
            return None
        file = self._file(steps[-1])
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # torch raises whatever the bytes provoke
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"{file}: cannot read the checkpoint ({reason}); remove it to go on before it") from error
        return state

    def _file(self, step: int) -> Path:
        return self.folder / f"step-{step:07d}.pt"


def copied(state: Any) -> Any:
    """The same with tensors of its own, on the host."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {name: copied(value) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(copied(value) for value in state)
    return state


def averaged_weights(run: Path) -> dict[str, Tensor]:
    """What was trained of a task's model, as its newest checkpoint averages it: by the names in its state dict.

    Raises:
        UserError: there is no checkpoint, or it cannot be read.
    """
    state = Checkpoints(run).load()
    if state is None:
        raise UserError(f"{run}: expected a training that has been saved at least once, found none")
    weights = state["weights"]
    if state["average"] is not None:
        weights = dict(zip(weights, state["average"]["shadow_params"], strict=True))
    return {name.removeprefix("model."): tensor for name, tensor in {**weights, **state["buffers"]}.items()}


def pin(run: Path, description: dict[str, Any], free: frozenset[str]) -> None:
    """Writes what a run is into its folder, or compares it with what the folder's run was begun with.

    Args:
        free: what may differ.

    Raises:
        UserError: the run was begun with other options, data or another model; names the first difference.
    """
    file = run / OPTIONS
    now = json.loads(json.dumps(description))
    if file.is_file():
        before = json.loads(file.read_text())
        for name in sorted({*before, *now} - free):
            if before.get(name) != now.get(name):
                raise UserError(
                    f"{run}: this run was begun with {name} = {json.dumps(before.get(name))}, "
                    f"got {json.dumps(now.get(name))}; give another --out to begin a new one"
                )
    run.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(now, indent=1))
