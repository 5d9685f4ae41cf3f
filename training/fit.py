"""The training loop: one phase, time-boxed, resumable after a kill, with EMA, losses and sample sheets on disk.

Knows nothing about what is trained: a phase hands it a module, a function from step number to loss, and a picture.
Every random draw of step n comes from generators seeded with (seed, n), so a resumed run repeats the lost steps.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter

from handfirst.engines.files import atomic_path
from handfirst.training.config import PhaseOptions

SAVE_SECONDS = 90.0


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
    """How far a phase is. `seconds` counts training time only, over all resumptions."""

    step: int = 0
    seconds: float = 0.0
    samples: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def progress(self, minutes: float, max_steps: int | None) -> float:
        """Share of the phase that is over, in [0, 1]: by steps where they are limited, else by time."""
        if max_steps is not None:
            return min(1.0, self.step / max_steps)
        return min(1.0, self.seconds / (60 * minutes))


def learning_rate(options: PhaseOptions, step: int, progress: float) -> float:
    """Linear warm-up, then a half cosine from `lr` down to 2% of it."""
    warm = min(1.0, (step + 1) / max(1, options.warmup))
    return options.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def pick_device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
    trained = [p for p in phase.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=options.lr, weight_decay=options.weight_decay, fused=True)
    clock = _resume(folder, phase.model, ema, optimizer)
    with SummaryWriter(str(folder)) as board, training_bar(show) as bar:
        task = bar.add_task(phase.name, total=1.0, note="")
        saved = sheeted = time.monotonic()
        while (progress := clock.progress(options.minutes, max_steps)) < 1:
            started = time.monotonic()
            losses = _step(phase, options, optimizer, trained, clock.step, progress, device)
            ema.update_parameters(phase.model)
            clock.step += 1
            clock.samples += options.batch
            clock.seconds += time.monotonic() - started
            if clock.step % 25 == 0:
                _record(folder, board, clock, losses, optimizer.param_groups[0]["lr"])
                note = " ".join(f"{k} {float(v):.4f}" for k, v in losses.items())
                bar.update(task, completed=progress, note=f"step {clock.step}  {note}")
            now = time.monotonic()
            if now - saved > SAVE_SECONDS:
                saved = now
                _save(folder, phase.model, ema, optimizer, clock)
            if phase.sheet and now - sheeted > 60 * phase.sheet_minutes:
                sheeted = now
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
    trained: list[nn.Parameter],
    step: int,
    progress: float,
    device: torch.device,
) -> dict[str, Tensor]:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(options, step, progress)
    phase.model.train()
    with autocast(device):
        losses = phase.losses(phase.model, step)
    total = torch.stack(list(losses.values())).sum()
    if not torch.isfinite(total):
        raise FloatingPointError(f"{phase.name}: the loss of step {step} is {float(total.detach())}")
    total.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(trained, options.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {k: v.detach() for k, v in losses.items()}


def _record(folder: Path, board: SummaryWriter, clock: Clock, losses: dict[str, Tensor], lr: float) -> None:
    row = {"step": clock.step, "seconds": round(clock.seconds, 1), "samples": clock.samples, "lr": lr}
    row |= {k: round(float(v), 6) for k, v in losses.items()}
    with (folder / "losses.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    for name, value in losses.items():
        board.add_scalar(name, float(value), clock.step)


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
