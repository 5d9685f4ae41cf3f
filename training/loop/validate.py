"""Held-out examples: the noise loss at fixed times and noises, the mask where the runtime takes it, and a sheet.

The same samples every time, so that two validations differ by the weights alone. Knows nothing about training.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from handfirst.training.loop.samples import Batch, HeldOutSamples, held_out_batches
from handfirst.training.loop.task import Evaluation, Stage


@dataclass(frozen=True)
class Validator:
    """How a run is validated.

    Args:
        stage: what is asked.
        samples: the held-out ones, their times spread over the schedule.
        size: samples at once.
        sheet_samples, sheet_steps: pictures on a sheet and the denoising steps they get.
        seed: of the pictures' noise.
    """

    stage: Stage
    samples: HeldOutSamples
    size: int
    sheet_samples: int
    sheet_steps: int
    seed: int
    workers: int = 0

    def __call__(self, device: torch.device) -> Evaluation:
        """Validates the weights that the stage has now; figures are means over the held-out samples."""
        sums: dict[str, float] = defaultdict(float)
        counts: dict[str, int] = defaultdict(int)

        def add(name: str, mean: float, count: int) -> None:
            sums[name] += mean * count
            counts[name] += count

        for batch in self._batches(self.samples, device):
            for name, loss in self.stage.losses(batch).items():
                add(name, float(loss), len(next(iter(batch.values()))))
        last_time = self.stage.last_time
        last = None if last_time is None else replace(self.samples, t=last_time)
        for batch in () if last is None else self._batches(last, device):
            for name, scores in self.stage.score(batch).items():
                add(name, float(scores.mean()), len(scores))
        few = replace(self.samples, count=self.sheet_samples)
        rows: list[tuple[NDArray[np.uint8], ...]] = []
        for batch in self._batches(few, device):
            drawn = self.stage.draw(batch, self.sheet_steps, self.seed)
            rows.append(drawn.rows)
            for name, scores in drawn.figures.items():
                add(name, float(scores.mean()), len(scores))
        figures = {name: sums[name] / counts[name] for name in sums}
        return Evaluation(figures, tuple(_together(parts) for parts in zip(*rows, strict=True)))

    def _batches(self, samples: HeldOutSamples, device: torch.device) -> Iterator[Batch]:
        for batch in held_out_batches(samples, self.size, self.workers):
            yield {name: tensor.to(device) for name, tensor in batch.items()}


def _together(parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """One after the other; smaller pictures get a white margin."""
    height, width = (max(part.shape[axis] for part in parts) for axis in (1, 2))
    margins = [((0, 0), (0, height - p.shape[1]), (0, width - p.shape[2]), *[(0, 0)] * (p.ndim - 3)) for p in parts]
    return np.concatenate([np.pad(p, m, constant_values=255) for p, m in zip(parts, margins, strict=True)])
