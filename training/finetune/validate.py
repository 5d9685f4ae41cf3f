"""Held-out examples: the noise loss at fixed times and noises, the mask where the runtime takes it, and a sheet.

The same samples every time, so that two validations differ by the weights alone. Knows nothing about training.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from handfirst.training.finetune.feed import Batch, HeldOutSamples, held_out_batches
from handfirst.training.finetune.task import Task


@dataclass(frozen=True, eq=False)
class Validation:
    """Figures, means over the held-out samples, and the rows of a sample sheet."""

    figures: dict[str, float]
    rows: tuple[NDArray[np.uint8], ...]


@dataclass(frozen=True)
class Validator:
    """How a run is validated.

    Args:
        samples: the held-out ones, their times spread over the schedule.
        empty: token ids of the empty prompt, int64 [L].
        size: samples at once.
        sheet_samples, sheet_steps: pictures on a sheet and the denoising steps they get.
        seed: of the pictures' noise.
    """

    samples: HeldOutSamples
    empty: NDArray[np.int64]
    size: int
    sheet_samples: int
    sheet_steps: int
    seed: int
    workers: int = 0

    @torch.no_grad()
    def __call__(self, task: Task, device: torch.device) -> Validation:
        """Validates the weights that `task` has now; leaves it in training mode."""
        task.train(False)
        sums: dict[str, float] = defaultdict(float)
        counts: dict[str, int] = defaultdict(int)

        def add(name: str, mean: float, count: int) -> None:
            sums[name] += mean * count
            counts[name] += count

        for batch in self._batches(self.samples, device):
            for name, loss in task(batch).items():
                add(name, float(loss), len(batch["t"]))
        last = replace(self.samples, t=task.last_time)
        for batch in self._batches(last, device):
            for name, scores in task.score(batch).items():
                add(name, float(scores.mean()), len(scores))
        few = replace(self.samples, count=self.sheet_samples)
        rows: list[tuple[NDArray[np.uint8], ...]] = []
        for batch in self._batches(few, device):
            drawn = task.draw(
                {**batch, "empty": torch.from_numpy(self.empty)[None].to(device)}, self.sheet_steps, self.seed
            )
            rows.append(drawn.rows)
            for name, scores in drawn.figures.items():
                add(name, float(scores.mean()), len(scores))
        task.train(True)
        figures = {name: sums[name] / counts[name] for name in sums}
        return Validation(figures, tuple(np.concatenate(parts) for parts in zip(*rows, strict=True)))

    def _batches(self, samples: HeldOutSamples, device: torch.device) -> Iterator[Batch]:
        for batch in held_out_batches(samples, self.size, self.workers):
            yield {name: tensor.to(device) for name, tensor in batch.items()}
