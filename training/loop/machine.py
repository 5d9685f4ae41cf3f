"""The machine under a training: its device and clock, what it computes in, its processes, and its wish to stop.

Knows nothing about what is trained.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Literal

import torch
from accelerate import Accelerator

from handfirst.engines.errors import UserError
from handfirst.training.loop.options import LoopOptions, Precision


def pick_device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def training_seconds(device: torch.device) -> float:
    """A clock that a busy or a stopped machine does not advance: a thread's own time on a CPU, wall time on a GPU."""
    return time.monotonic() if device.type == "cuda" else time.process_time() / torch.get_num_threads()


def computes_in(precision: Precision) -> Literal["no", "bf16", "fp16"]:
    """What "auto" comes to: bf16 where the machine has it, float32 elsewhere."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported()
    else:
        fast = bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return "bf16" if fast else "no"


def autocast(device: torch.device) -> torch.autocast:
    """The precision "auto", for what runs beside a loop."""
    return torch.autocast(device.type, torch.bfloat16, enabled=computes_in("auto") == "bf16")


def make_accelerator(options: LoopOptions, cpu: bool = False) -> Accelerator:
    """accelerate's devices, processes and precision for these options.

    Args:
        cpu: use no accelerator even if accelerate knows one.

    Raises:
        UserError: a precision that the machine lacks; or processes that would write over each other's files.
    """
    try:
        found = Accelerator(
            cpu=cpu,
            mixed_precision=computes_in(options.precision),
            gradient_accumulation_steps=options.parts,
        )
    except ValueError as error:
        raise UserError(f"--precision {options.precision}: {error}") from error
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if found.num_processes != launched:  # without a GPU accelerate joins processes only where it is told to
        raise UserError(
            f"expected {launched} processes that know of each other, got {found.num_processes} alone; "
            "on machines without a GPU set ACCELERATE_USE_CPU=true"
        )
    return found


def leave(accelerator: Accelerator) -> None:
    """Ends the group of processes.

    gloo's own thread frees the tensors of the last exchange and needs the interpreter for it. A group that is torn down
    meanwhile holds the interpreter and waits for that thread, for ever: so the thread gets a second of it first.
    """
    accelerator.wait_for_everyone()
    if accelerator.num_processes > 1:
        time.sleep(1)
    accelerator.end_training()


@dataclass
class Clock:
    """Steps taken and seconds of training (`training_seconds`), over all resumptions."""

    step: int = 0
    seconds: float = 0.0

    def progress(self, options: LoopOptions) -> float:
        """Share of the training that is over, in [0, 1]: by steps where they are limited, else by time."""
        if options.steps is not None:
            return min(1.0, self.step / options.steps)
        return min(1.0, self.seconds / (60 * (options.minutes or 0.0))) if options.minutes else 1.0


class Interval:
    """Due every so many steps, or every so many minutes of training, counted from `clock`; never without either."""

    def __init__(self, steps: int | None, minutes: float | None, clock: Clock) -> None:
        self.steps = steps
        self.minutes = minutes
        self._clock = clock
        self._last = clock.seconds

    def due(self) -> bool:
        """Asked once after every step."""
        if self.minutes is not None and self._clock.seconds - self._last > 60 * self.minutes:
            self._last = self._clock.seconds
            return True
        return self.steps is not None and self._clock.step % self.steps == 0


EXIT_TERMINATED = 143
"""128 + SIGTERM, as shells have it: a scheduler may start the same command again."""


class StoppedError(UserError):
    """A training was asked to stop, and its state is saved."""


class Termination:
    """Whether somebody asked this process to stop."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


@contextmanager
def termination() -> Iterator[Termination]:
    """SIGTERM as a question that is answered between two steps, in place of a death in the middle of one.

    Caught while this is open; elsewhere than in the main thread nothing can be caught, and nothing is.
    """
    asked = Termination()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGTERM, asked)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)
