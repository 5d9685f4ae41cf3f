"""The training loop: one phase, time-boxed, resumable after a kill, with EMA, losses and sample sheets on disk.

Knows nothing about what is trained: a phase hands it a module, a function from step number to loss, and a picture.
Every random draw of step n comes from generators seeded with (seed, n), so a resumed run repeats the lost steps.
Nothing waits for a GPU but a look at the losses every LOOK steps.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter

from handfirst.engines.files import atomic_path
from handfirst.training.loop.optimizer import build_optimizer, learning_rate, scale
from handfirst.training.systems.two_stage.options import PhaseOptions

SAVE_SECONDS = 90.0
LOOK = 25  # steps between two looks at the losses


@dataclass
class Phase:
    """What one phase trains.

    Attributes:
        name: also the name of its folder.
        model: the trainable parameters are those that require gradients.
        losses: (model, step) -> named scalar losses; their sum is minimised.
        sheet: (EMA model, file) -> None, draws a sample sheet; called now and then.
    """

    name: str
    model: nn.Module
    losses: Callable[[nn.Module, int], dict[str, Tensor]]
    sheet: Callable[[nn.Module, Path], None] | None = None
    sheet_minutes: float = 8.0


@dataclass
class Clock:
    """How far a phase is. `seconds` counts training time only (`training_seconds`), over all resumptions."""

    step: int = 0
    seconds: float = 0.0
    samples: int = 0

    def progress(self, minutes: float, max_steps: int | None) -> float:
        """Share of the phase that is over, in [0, 1]: by steps where they are limited, else by time."""
        if max_steps is not None:
            return min(1.0, self.step / max_steps)
        return min(1.0, self.seconds / (60 * minutes))


def pick_device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def training_seconds(device: torch.device) -> float:
    """A clock that a busy or a stopped machine does not advance: a thread's own time on a CPU, wall time on a GPU."""
    return time.monotonic() if device.type == "cuda" else time.process_time() / torch.get_num_threads()


def autocast(device: torch.device) -> torch.autocast:
    """bf16 where the machine has it; float32 elsewhere."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_bf16_supported())
    fast = bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return torch.autocast("cpu", torch.bfloat16, enabled=fast)


def fit(
    phase: Phase, options: PhaseOptions, folder: Path, max_steps: int | None = None, show: bool = True
) -> nn.Module:
    """Trains until the time (or `max_steps`) is up and returns the EMA model.

    Files in `folder`: checkpoint.pt (all that a resumption needs), losses.jsonl, sheets, TensorBoard events.
    A finished phase is loaded, not trained again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = pick_device()
    phase.model.to(device)
    average = get_ema_multi_avg_fn(options.ema)  # type: ignore[no-untyped-call]
    ema = AveragedModel(phase.model, multi_avg_fn=average, use_buffers=True)
    ema.requires_grad_(False)
    optimizer = build_optimizer(phase.model, options)
    clock = _resume(folder, phase.model, ema, optimizer)
    if options.compile:
        phase.model.compile()
    with SummaryWriter(str(folder)) as board, training_bar(show) as bar:
        task = bar.add_task(phase.name, total=1.0, note="")
        saved, sheeted = time.monotonic(), clock.seconds
        while (progress := clock.progress(options.minutes, max_steps)) < 1:
            started = training_seconds(device)
            losses = _step(phase, options, optimizer, clock.step, progress, device)
            ema.update_parameters(phase.model)
            look = clock.step == 0 or (clock.step + 1) % LOOK == 0 or clock.step + 1 == max_steps
            values = _values(phase.name, losses, clock.step) if look else {}
            clock.step += 1
            clock.samples += options.batch
            clock.seconds += training_seconds(device) - started
            if not look:
                continue
            _record(folder, board, clock, values, options.lr * learning_rate(options, clock.step - 1, progress))
            note = " ".join(f"{k} {v:.4f}" for k, v in values.items())
            bar.update(task, completed=progress, note=f"step {clock.step}  {note}")
            if time.monotonic() - saved > SAVE_SECONDS:
                saved = time.monotonic()
                _save(folder, phase.model, ema, optimizer, clock)
            if phase.sheet and clock.seconds - sheeted > 60 * phase.sheet_minutes:
                sheeted = clock.seconds
                phase.sheet(ema.module.eval(), folder / f"sheet-{clock.step:07d}.png")
        bar.update(task, completed=1.0)
    _save(folder, phase.model, ema, optimizer, clock)
    if phase.sheet:
        phase.sheet(ema.module.eval(), folder / "sheet-final.png")
    return ema.module.eval()


def _step(
    phase: Phase,
    options: PhaseOptions,
    optimizer: torch.optim.Optimizer,
    step: int,
    progress: float,
    device: torch.device,
) -> dict[str, Tensor]:
    phase.model.train()
    with autocast(device):
        losses = phase.losses(phase.model, step)
    total = torch.stack(list(losses.values())).sum()
    total.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(phase.model.parameters(), options.clip)
    scale(optimizer, learning_rate(options, step, progress))
    optimizer.step()
    optimizer.zero_grad()
    return {k: v.detach() for k, v in losses.items()}


def _values(name: str, losses: dict[str, Tensor], step: int) -> dict[str, float]:
    """The losses on the host. What is saved comes after a look: weights that a broken loss spoilt never are."""
    values = {k: float(v) for k, v in losses.items()}
    if not math.isfinite(sum(values.values())):
        raise FloatingPointError(f"{name}: the loss of step {step} is {sum(values.values())}")
    return values


def _record(folder: Path, board: SummaryWriter, clock: Clock, losses: dict[str, float], lr: float) -> None:
    row = {"step": clock.step, "seconds": round(clock.seconds, 1), "samples": clock.samples, "lr": lr}
    row |= {k: round(v, 6) for k, v in losses.items()}
    with (folder / "losses.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    for name, value in losses.items():
        board.add_scalar(name, value, clock.step)


def _save(folder: Path, model: nn.Module, ema: AveragedModel, optimizer: torch.optim.Optimizer, clock: Clock) -> None:
    state = {
        "model": model.state_dict(),
        "ema": ema.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": clock.step,
        "seconds": clock.seconds,
        "samples": clock.samples,
    }
    with atomic_path(folder / "checkpoint.pt") as temporary:
        torch.save(state, temporary)


def _resume(folder: Path, model: nn.Module, ema: AveragedModel, optimizer: torch.optim.Optimizer) -> Clock:
    file = folder / "checkpoint.pt"
    if not file.exists():
        return Clock()
    state = torch.load(file, map_location=pick_device(), weights_only=True)
    model.load_state_dict(state["model"])
    ema.load_state_dict(state["ema"])
    optimizer.load_state_dict(state["optimizer"])
    return Clock(step=state["step"], seconds=state["seconds"], samples=state["samples"])


def training_bar(show: bool) -> Progress:
    """A bar from 0 to 1 with a note beside it."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:5.1f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        disable=not show,
        refresh_per_second=2,
    )
