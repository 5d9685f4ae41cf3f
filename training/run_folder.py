"""What lies in a run's folder: tensors between the phases, notes, checkpoints and what they cost.

Knows nothing about which phases there are in which order, but for the list of names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from handfirst.engines.files import atomic_path
from handfirst.training.systems.two_stage.config import PhaseName

NOTES = "notes.json"


def save_tensor(file: Path, tensor: Tensor) -> None:
    """Writes a tensor in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as temporary:
        torch.save(tensor.contiguous(), temporary)


def load_tensor(file: Path) -> Tensor:
    """Maps a saved tensor into memory."""
    tensor: Tensor = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    return tensor


def ema_weights(run: Path, phase: str) -> dict[str, Tensor]:
    """The averaged weights of a phase's last checkpoint, as its model's state dict."""
    state = torch.load(run / phase / "checkpoint.pt", map_location="cpu", weights_only=True)["ema"]
    return {k.removeprefix("module."): v for k, v in state.items() if k != "n_averaged"}


def costs(run: Path) -> dict[str, dict[str, float]]:
    """Per phase that ran: steps, samples, minutes and the last losses."""
    out = {}
    for phase in get_args(PhaseName):
        file = run / phase / "losses.jsonl"
        if file.exists() and (rows := file.read_text().splitlines()):
            last = json.loads(rows[-1])
            out[phase] = {**last, "minutes": round(last["seconds"] / 60, 1)}
    return out


def notes(run: Path) -> dict[str, Any]:
    """All notes so far."""
    file = run / NOTES
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def add_note(run: Path, key: str, value: Any) -> None:
    """Writes one note beside the others."""
    with atomic_path(run / NOTES) as temporary:
        temporary.write_text(json.dumps({**notes(run), key: value}, indent=1))
