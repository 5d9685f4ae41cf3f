"""A run's checkpoints: everything that going on exactly needs, one file each, and never half a file.

Only what is trained is in it: frozen networks are in the model that the run began with. Nothing in a file is executed
when it is read. Knows nothing about what the state is of.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path

_NAME = re.compile(r"step-(\d{7})\.pt")


class Checkpoints:
    """The files step-0000500.pt, ... in a folder.

    Args:
        folder: made when the first is saved.
        keep: how many of the newest are kept.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Writes the state after `step` steps, then removes the oldest."""
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

        Raises:
            UserError: it cannot be read.
        """
        if not (steps := self.steps()):
            return None
        file = self._file(steps[-1])
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises whatever the bytes provoke
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"{file}: cannot read the checkpoint ({reason}); remove it to go on before it") from error
        return state

    def _file(self, step: int) -> Path:
        return self.folder / f"step-{step:07d}.pt"
