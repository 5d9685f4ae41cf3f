"""The loop: accelerate's devices, processes and precisions around one function of a batch; resumable at any step.

A step depends on its number, the weights and the optimizer's state, and on nothing else: batches and noise come from
(seed, place), the learning rate from the step. Knows nothing about hands or bodies.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from handfirst.engines.errors import UserError
from handfirst.training.finetune.checkpoints import Checkpoints
from handfirst.training.finetune.feed import Batch, Share, TrainingSamples, training_batches
from handfirst.training.finetune.journal import Journal
from handfirst.training.finetune.signals import termination
from handfirst.training.finetune.validate import Validator
from handfirst.training.fit import training_bar
from handfirst.training.loop.optimizer import build_optimizer, learning_rate, scale
from handfirst.training.systems.two_stage.options import FineTuneOptions

NETWORKS = 3
"""Second word of the seeds of what networks draw themselves; samples and their order have others."""


@dataclass
class Loop:
    """One run of training.

    Attributes:
        task: on the CPU, in float32; trained in place, and left with the averaged weights.
        samples: by place.
        validator: of the held-out ones.
        options: how.
        folder: of the run; exists.
        show: whether to draw a progress bar.
    """

    task: Any
    samples: TrainingSamples
    validator: Validator
    options: FineTuneOptions
    folder: Path
    accelerator: Accelerator
    show: bool = True
    step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._trained: dict[str, nn.Parameter] = {n: p for n, p in self.task.named_parameters() if p.requires_grad}
        self._share = Share(
            self.options.batch, self.options.accumulate, self.accelerator.num_processes, self.accelerator.process_index
        )
        optimizer = build_optimizer(self.task.to(self.accelerator.device), self.options)
        self._wrapped, self._optimizer = self.accelerator.prepare(self.task, optimizer)
        self._average = None
        if self.options.ema:
            self._average = EMAModel(self._trained.values(), decay=self.options.ema, foreach=True)
        self._checkpoints = Checkpoints(self.folder / "checkpoints", self.options.keep)

    def run(self) -> bool:
        """Trains to the last step; False if it was asked to stop before, in which case its state is saved."""
        self._restore()
        finished = True
        with self._journal() as journal, termination() as stop, training_bar(self.show and self._first) as bar:
            shown = bar.add_task("training", total=self.options.steps, completed=self.step, note="")
            if self.step == 0:
                self._validate(journal)
            batches = self._batches()
            while self.step < self.options.steps and finished:
                began = time.monotonic()
                values = self._advance(batches)
                if self.step % self.options.log_every == 0 or self.step == self.options.steps:
                    self._record(journal, values, time.monotonic() - began)
                    note = " ".join(f"{name} {value:.4f}" for name, value in values.items())
                    bar.update(shown, note=f"step {self.step}  {note}")
                bar.update(shown, completed=self.step)
                finished = not self._asked(stop.asked)
                last = self.step == self.options.steps or not finished
                if self.step % self.options.validate_every == 0 or self.step == self.options.steps:
                    self._validate(journal)
                if self.step % self.options.save_every == 0 or last:
                    self._save()
        if self._average is not None:
            self._average.copy_to(self._trained.values())
        return finished

    @property
    def _first(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def _batches(self) -> Iterator[Batch]:
        device = self.accelerator.device
        pin = device.type == "cuda"
        steps = (self.step, self.options.steps)
        for batch in training_batches(self.samples, self._share, steps, self.options.workers, pin):
            yield {name: tensor.to(device, non_blocking=pin) for name, tensor in batch.items()}

    def _advance(self, batches: Iterator[Batch]) -> dict[str, float]:
        """One optimizer step; the means of its losses over the whole batch, and the gradient's norm."""
        scale(self._optimizer, self._rate(self.step))
        self._wrapped.train()
        sums: dict[str, Tensor] = {}
        norm = torch.zeros(())
        for part in range(self.options.accumulate):
            batch = next(batches)
            self._seed(part)
            with self.accelerator.accumulate(self._wrapped):
                losses: dict[str, Tensor] = self._wrapped(batch)
                self.accelerator.backward(torch.stack(list(losses.values())).sum())
                if self.accelerator.sync_gradients:
                    norm = self.accelerator.clip_grad_norm_(list(self._trained.values()), self.options.clip)
                self._optimizer.step()
                self._optimizer.zero_grad()
            for name, loss in losses.items():
                sums[name] = sums.get(name, torch.zeros_like(loss.detach())) + loss.detach() / self.options.accumulate
        if self._average is not None:
            self._average.step(self._trained.values())
        means = self.accelerator.reduce(sums, reduction="mean")
        values = {name: float(value) for name, value in means.items()}
        if not all(math.isfinite(value) for value in values.values()):
            raise UserError(
                f"the loss of step {self.step} is not finite ({values}): try a lower --lr, or --precision no; "
                f"the checkpoints in {self._checkpoints.folder} are from before"
            )
        self.step += 1
        return {**values, "gradient": float(norm)}

    def _rate(self, step: int) -> float:
        return learning_rate(self.options, step, step / (self.options.steps or 1))

    def _seed(self, part: int) -> None:
        """Whatever a network itself draws (dropout) follows from the step too."""
        words = (self.options.seed, NETWORKS, self.step, part, self._share.rank)
        torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

    def _asked(self, asked: bool) -> bool:
        """Whether any process was asked to stop."""
        if asked:
            self.accelerator.set_trigger()
        return bool(self.accelerator.check_trigger())

    def _record(self, journal: Journal | None, values: dict[str, float], seconds: float) -> None:
        if journal is not None:
            rate = self.options.lr * self._rate(self.step - 1)
            epoch = self.step * self.options.batch / self.samples.mixture.epoch
            clock = {"samples_per_second": self.options.batch / seconds}
            if self.accelerator.device.type == "cuda":
                clock["peak_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
            journal.losses(self.step, {**values, "lr": rate, "epoch": epoch}, clock)

    def _validate(self, journal: Journal | None) -> None:
        """By the first process, with the averaged weights."""
        if journal is not None:
            with self._averaged(), self.accelerator.autocast():
                validation = self.validator(self.task, self.accelerator.device)
            journal.validation(self.step, validation.figures, validation.rows)
        self.accelerator.wait_for_everyone()

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        if self._average is None or self.step == 0:
            yield
            return
        self._average.store(self._trained.values())
        self._average.copy_to(self._trained.values())
        try:
            yield
        finally:
            self._average.restore(self._trained.values())

    @contextmanager
    def _journal(self) -> Iterator[Journal | None]:
        """Only the first process writes."""
        if not self._first:
            yield None
            return
        with Journal(self.folder, self.step) as journal:
            yield journal

    def _save(self) -> None:
        if self._first:
            scaler = self.accelerator.scaler
            self._checkpoints.save(
                self.step,
                {
                    "weights": {name: tensor.detach() for name, tensor in self._trained.items()},
                    "optimizer": self._optimizer.state_dict(),
                    "average": None if self._average is None else self._average.state_dict(),
                    "scaler": None if scaler is None else scaler.state_dict(),
                },
            )
        self.accelerator.wait_for_everyone()

    def _restore(self) -> None:
        """From the newest checkpoint, if there is one."""
        state = self._checkpoints.load()
        if state is not None:
            self.step = int(state["step"])
            with torch.no_grad():
                for name, parameter in self._trained.items():
                    parameter.copy_(state["weights"][name])
            self._optimizer.load_state_dict(state["optimizer"])
            if self._average is not None:
                self._average.load_state_dict(state["average"])
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(state["scaler"])
        if self._average is not None:
            self._average.to(self.accelerator.device)
