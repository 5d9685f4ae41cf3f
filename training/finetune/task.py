"""What the loop asks of a stage: losses for a batch, figures and pictures for a validation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from handfirst.training.finetune.feed import Batch


@dataclass(frozen=True, eq=False)
class Drawn:
    """A sample sheet to be: rows of uint8 [N, H, W, 3] or [N, H, W], and figures [N] about what was drawn."""

    rows: tuple[NDArray[np.uint8], ...]
    figures: dict[str, Tensor] = field(default_factory=dict)


class Task(Protocol):
    """A module whose trainable parameters are those that require gradients (HandTask, BodyTask)."""

    last_time: int
    """The time step from which the runtime takes the mask."""

    def __call__(self, samples: Batch) -> dict[str, Tensor]:
        """Named scalar losses of a batch; their sum is minimised."""
        ...

    def score(self, samples: Batch) -> dict[str, Tensor]:
        """Figures [B] about samples at `last_time`; empty where the stage has none."""
        ...

    def draw(self, samples: Batch, steps: int, seed: int) -> Drawn:
        """Pictures made as the runtime makes them. `samples` also holds "empty", the empty prompt's ids [1, L]."""
        ...

    def named_parameters(self) -> Any: ...
    def parameters(self) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...
