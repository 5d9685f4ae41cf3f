"""A run of the recipe carried to another machine: what its phases have learnt, in half precision, a few megabytes.

The averaged weights stand for the weights, and optimizer and average begin anew: training goes on from about where it
was, not exactly there. Data, latents and contexts are not carried: the recipe makes the same ones again, and a phase
that was finished is not trained again. In eight bits the UNets take half of that: a row of a matrix is whole numbers
from -127 to 127 times one scale. The autoencoder stays in half precision, since the latents of all data come from it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path
from handfirst.training.loop.checkpoints import Checkpoints, averaged_weights
from handfirst.training.loop.journal import LOSSES, read_journal
from handfirst.training.systems.two_stage.config import PhaseName

COARSE: frozenset[PhaseName] = frozenset({"hand", "body"})
"""What eight bits are meant for: UNets, whose training goes on."""
_SCALE = ":scale"


def carry_out(run: Path, out: Path, bits: Literal[8, 16] = 16) -> list[Path]:
    """Writes OUT/PHASE.safetensors for every phase that was saved at least once.

    Args:
        bits: 16 writes float16; 8 writes the matrices of `COARSE` as int8 with a float16 scale per row.

    Raises:
        UserError: no phase was.
    """
    files = []
    for phase in get_args(PhaseName):
        if not (steps := Checkpoints(run / phase).steps()):
            continue
        weights = averaged_weights(run / phase)
        if bits == 8 and phase in COARSE:
            weights = {name: part for pair in weights.items() for name, part in _coarse(*pair).items()}
        weights = {name: _as(torch.half, tensor).contiguous() for name, tensor in weights.items()}
        row = next(row for row in reversed(read_journal(run / phase / LOSSES)) if row["step"] <= steps[-1])
        out.mkdir(parents=True, exist_ok=True)
        files.append(out / f"{phase}.safetensors")
        with atomic_path(files[-1]) as temporary:
            save_file(weights, temporary, {"step": str(steps[-1]), "row": json.dumps(row)})
    if not files:
        raise UserError(f"{run}: expected a run of which a phase has been saved at least once, found none")
    return files


def carry_in(folder: Path, run: Path) -> None:
    """Begins a run with what `carry_out` wrote.

    Raises:
        UserError: the run has begun already, or a file is none of those.
    """
    files = {phase: file for phase in get_args(PhaseName) if (file := folder / f"{phase}.safetensors").exists()}
    if not files:
        raise UserError(f"{folder}: expected files of 'handfirst train carry', such as body.safetensors, found none")
    if any(Checkpoints(run / phase).steps() for phase in get_args(PhaseName)):
        raise UserError(f"{run}: this run has begun already; leave out --from to go on with it, or give another folder")
    for phase, (step, row, weights) in {phase: _read(file) for phase, file in files.items()}.items():
        (run / phase).mkdir(parents=True, exist_ok=True)
        (run / phase / LOSSES).write_text(json.dumps(row) + "\n")
        state = {"seconds": float(row.get("seconds", 0)), "weights": weights, "buffers": weights}
        Checkpoints(run / phase).save(step, {**state, "optimizer": None, "average": None, "scaler": None})


def _read(file: Path) -> tuple[int, dict[str, Any], dict[str, Tensor]]:
    """Steps, the last row of the journal, and weights by their names in a task."""
    try:
        with safe_open(file, framework="pt") as opened:
            said, names = opened.metadata(), opened.keys()
            read = {name: opened.get_tensor(name) for name in names}
        weights = {f"model.{name}": _fine(read, name) for name in read if not name.endswith(_SCALE)}
        return int(said["step"]), dict(json.loads(said["row"])), weights
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise UserError(f"{file}: not a file of 'handfirst train carry' ({error}); carry the run again") from error


def _coarse(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """A matrix [rows, ...] as int8 and the scales [rows]; a vector as it is."""
    if tensor.dim() < 2 or not tensor.is_floating_point():
        return {name: tensor}
    rows = tensor.flatten(1)
    scale = (rows.abs().amax(1) / 127).clamp_min(1e-7).half()  # what is stored is what divides
    whole = (rows / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
    return {name: whole.view_as(tensor), name + _SCALE: scale}


def _fine(read: dict[str, Tensor], name: str) -> Tensor:
    """A tensor as training has it: float32, whole numbers as they are."""
    if (scale := read.get(name + _SCALE)) is None:
        return _as(torch.float, read[name])
    return read[name].float() * scale.float().view(-1, *[1] * (read[name].dim() - 1))


def _as(dtype: torch.dtype, tensor: Tensor) -> Tensor:
    """Whole numbers stay what they are."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
