"""The loop: accelerate's devices, processes and precisions around one function of a batch; resumable at any step.

A step depends on its index, the weights and the optimizer's state, and on nothing else: batches and noise follow from
(seed, step), the learning rate from the step and from how much of the training is over. Nothing waits for a GPU but a
look at the losses, every `log_every` steps. Knows nothing about what is trained.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from rich.progress import Progress
from torch import Tensor, nn

from handfirst.engines.errors import UserError
from handfirst.training.loop.checkpoints import Checkpoints
from handfirst.training.loop.feed import Feed, Share
from handfirst.training.loop.journal import Journal, training_bar
from handfirst.training.loop.kernels import attention_of, compute_as_asked
from handfirst.training.loop.machine import Clock, Interval, Termination, termination, training_seconds
from handfirst.training.loop.optimizer import Average, build_optimizer, learning_rate, scale
from handfirst.training.loop.options import LoopOptions
from handfirst.training.loop.task import Evaluation, Task

NETWORKS = 3
"""Second word of the seeds of what networks draw themselves; samples and their order have others."""
NEVER = 2**62


@dataclass
class Loop:
    """One run of training.

    Attributes:
        task: in float32; trained in place, and left with the averaged weights.
        feed: of its batches.
        options: how.
        folder: of the run; exists.
        evaluate: device -> what the weights that the task then has come to, by the first process; None: nothing.
        show: whether to draw a progress bar.
    """

    task: Task
    feed: Feed
    options: LoopOptions
    folder: Path
    accelerator: Accelerator
    evaluate: Callable[[torch.device], Evaluation] | None = None
    show: bool = True
    clock: Clock = field(default_factory=Clock, init=False)

    def __post_init__(self) -> None:
        options, accelerator = self.options, self.accelerator
        if accelerator.num_processes > 1 and (options.minutes or options.save_minutes or options.validate_minutes):
            raise UserError("expected steps and no minutes where several processes train: their clocks differ")
        self._share = Share(options.batch, options.parts, accelerator.num_processes, accelerator.process_index)
        self.task.to(accelerator.device)
        compute_as_asked(self.task, options)
        self._trained: dict[str, nn.Parameter] = {n: p for n, p in self.task.named_parameters() if p.requires_grad}
        self._wrapped, self._optimizer = accelerator.prepare(self.task, build_optimizer(self.task, options))
        self._average = Average(self._trained.values(), options.ema)
        self._checkpoints = Checkpoints(self.folder, options.keep)
        self._losses: dict[str, Tensor] = {}
        self._norm = torch.zeros((), device=accelerator.device)
        self._broken = torch.full((), NEVER, device=accelerator.device)  # the first step whose loss is not finite
        self._factor = 1.0

    def run(self) -> bool:
        """Trains to the end; False if it was asked to stop before, in which case its state is saved.

        Raises:
            UserError: a loss that is not finite; a checkpoint or a batch that cannot be read.
        """
        self._restore()
        with (
            self._journal() as journal,
            termination() as stop,
            training_bar(self.show and self._first) as bar,
            attention_of(self.options),
        ):
            if self.clock.step == 0 and self.options.validate_every is not None:
                self._validate(journal)
            try:
                self._train(journal, stop, bar)
            finally:
                self._checkpoints.wait()
        self._average.copy()
        return self._over

    @property
    def _over(self) -> bool:
        return self.clock.progress(self.options) >= 1

    def _train(self, journal: Journal | None, stop: Termination, bar: Progress) -> None:
        """Step after step, from where the run is to its end or until it is asked to stop."""
        options, device = self.options, self.accelerator.device
        batches = self.feed.batches(self.clock.step, self._share, device)
        saving = Interval(options.save_every, options.save_minutes, self.clock)
        validating = Interval(options.validate_every, options.validate_minutes, self.clock)
        shown = bar.add_task(self.task.name, total=1.0, note="")
        bar.update(shown, completed=self.clock.progress(options))
        written, asked = (time.monotonic(), self.clock.step), False
        while not self._over and not asked:
            began = training_seconds(device)
            self._advance(batches)
            asked = self._asked(stop)
            log = self.clock.step == 1 or self.clock.step % options.log_every == 0
            save, validate = saving.due() or asked, validating.due()
            values = self._look() if log or save or validate else {}
            self.clock.seconds += training_seconds(device) - began
            if log or self._over:
                values = values or self._look()
                self._record(journal, values, *written)
                written = time.monotonic(), self.clock.step
                note = " ".join(f"{name} {value:.4f}" for name, value in values.items())
                bar.update(shown, note=f"step {self.clock.step}  {note}")
            bar.update(shown, completed=self.clock.progress(options))
            if validate or self._over:
                self._validate(journal)
            if save or self._over:
                self._save()

    @property
    def _first(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def _advance(self, batches: Iterator[Any]) -> None:
        """One optimizer step; leaves the means of its losses over this process's share, and the gradient's norm."""
        step, options = self.clock.step, self.options
        self._factor = learning_rate(options, step, self.clock.progress(options))
        scale(self._optimizer, self._factor)
        self._wrapped.train()
        sums: dict[str, Tensor] = {}
        for part in range(options.parts):
            with self.accelerator.autocast():
                batch = next(batches)
            self._seed(part)
            with self.accelerator.accumulate(self._wrapped):
                losses: dict[str, Tensor] = self._wrapped(batch)
                self.accelerator.backward(torch.stack(list(losses.values())).sum())
                if self.accelerator.sync_gradients:
                    self._norm = self.accelerator.clip_grad_norm_(list(self._trained.values()), options.clip)
                self._optimizer.step()
                self._optimizer.zero_grad()
            for name, loss in losses.items():
                sums[name] = sums.get(name, torch.zeros_like(loss.detach())) + loss.detach() / options.parts
        self._average.update()
        finite = torch.isfinite(torch.stack(list(sums.values())).sum())
        self._broken = torch.where(finite, self._broken, self._broken.clamp(max=step))
        self._losses = sums
        self.clock.step += 1

    def _seed(self, part: int) -> None:
        """Whatever a network itself draws (dropout) follows from the step too."""
        words = (self.options.seed, NETWORKS, self.clock.step, part, self._share.rank)
        torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

    def _look(self) -> dict[str, float]:
        """The losses of the last step over the whole batch, on the host; nothing is saved before such a look."""
        means = self.accelerator.reduce(self._losses, reduction="mean")
        broken = int(self.accelerator.gather(self._broken.reshape(1)).min())
        numbers = torch.stack([*(loss.float() for loss in means.values()), self._norm.float()]).tolist()
        values = dict(zip((*means, "gradient_norm"), numbers, strict=True))
        if broken != NEVER:
            raise UserError(
                f"{self.task.name}: the loss of step {broken} is not finite (now {values}): try a lower lr, or "
                f'precision "no"; the checkpoints in {self._checkpoints.folder} are from before'
            )
        return values

    def _asked(self, stop: Termination) -> bool:
        """Whether any process was asked to stop; several exchange it where they wait for each other anyway."""
        if self.accelerator.num_processes == 1:
            return stop.asked
        if self.clock.step % self.options.log_every:
            return False
        if stop.asked:
            self.accelerator.set_trigger()
        return bool(self.accelerator.check_trigger())

    def _record(self, journal: Journal | None, values: dict[str, float], since: float, step: int) -> None:
        """Writes down what the last step came to; `since` and `step` are of the record before."""
        if journal is None:
            return
        options, samples = self.options, self.clock.step * self.options.batch
        row = {**values, "lr": options.lr * self._factor, "samples": samples}
        if self.feed.epoch:
            row["epoch"] = samples / self.feed.epoch
        if options.minutes is not None:  # the clock decides when the run is over
            row["seconds"] = round(self.clock.seconds, 1)
        speed = options.batch * (self.clock.step - step) / (time.monotonic() - since)
        clock = {"samples_per_second": speed}
        if self.accelerator.device.type == "cuda":
            clock["peak_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        journal.losses(self.clock.step, row, clock)

    def _validate(self, journal: Journal | None) -> None:
        """By the first process, with the averaged weights."""
        if journal is not None and self.evaluate is not None:
            self.task.eval()
            with self._average.in_place(), self.accelerator.autocast(), torch.no_grad():
                found = self.evaluate(self.accelerator.device)
            journal.validation(self.clock.step, found.figures, found.rows)
        self.accelerator.wait_for_everyone()

    @contextmanager
    def _journal(self) -> Iterator[Journal | None]:
        """Only the first process writes."""
        if not self._first:
            yield None
            return
        with Journal(self.folder, self.clock.step) as journal:
            yield journal

    def _save(self) -> None:
        if self._first:
            scaler = self.accelerator.scaler
            self._checkpoints.save(
                self.clock.step,
                {
                    "seconds": self.clock.seconds,
                    "weights": {name: tensor.detach() for name, tensor in self._trained.items()},
                    "buffers": self._buffers(),
                    "optimizer": self._optimizer.state_dict(),
                    "average": self._average.state_dict(),
                    "scaler": None if scaler is None else scaler.state_dict(),
                },
                behind=self.options.minutes is None,  # a clock that counts a thread's own time would count the writing
            )
        self.accelerator.wait_for_everyone()

    def _buffers(self) -> dict[str, Tensor]:
        """What a network remembers of its own accord (spectral norms), by name."""
        names = {name for name, _ in self.task.named_buffers()}
        return {name: tensor for name, tensor in self.task.state_dict().items() if name in names}

    @torch.no_grad()
    def _restore(self) -> None:
        """From the newest checkpoint, if there is one."""
        state = self._checkpoints.load()
        if state is None:
            return
        self.clock = Clock(int(state["step"]), float(state["seconds"]))
        for name, parameter in self._trained.items():
            parameter.copy_(state["weights"][name])
        for name, buffer in self._buffers().items():
            buffer.copy_(state["buffers"][name])
        if state["optimizer"] is None:  # carried here without it: both begin anew from these weights
            self._average = Average(self._trained.values(), self.options.ema)
            return
        self._optimizer.load_state_dict(state["optimizer"])
        self._average.load_state_dict(state["average"], self.accelerator.device)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
