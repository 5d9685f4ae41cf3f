"""What is trained, and what a validation asks of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


class Task(nn.Module):
    """A model with its losses. The trainable parameters are those that require gradients.

    Args:
        name: what the task is called in the bar and in errors.
        model: whose weights are the result; everything trainable lies in it.
    """

    def __init__(self, name: str, model: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.model = model

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Named scalar losses of a micro-batch; their sum is minimised."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures about the averaged weights, and a sample sheet: rows of uint8 [N, H, W, 3] or [N, H, W]."""

    figures: dict[str, float] = field(default_factory=dict)
    rows: tuple[NDArray[np.uint8], ...] = ()


@dataclass(frozen=True, eq=False)
class Drawn:
    """A sample sheet to be: rows of uint8 [N, H, W, 3] or [N, H, W], and figures [N] about what was drawn."""

    rows: tuple[NDArray[np.uint8], ...]
    figures: dict[str, Tensor] = field(default_factory=dict)


class Stage(Protocol):
    """What a validation asks of a stage about stacked samples."""

    @property
    def last_time(self) -> int:
        """The time step from which the runtime takes what `score` judges."""
        ...

    def losses(self, samples: dict[str, Tensor]) -> dict[str, Tensor]:
        """Named scalar losses."""
        ...

    def score(self, samples: dict[str, Tensor]) -> dict[str, Tensor]:
        """Figures [B] about samples at `last_time`; empty where the stage has none."""
        ...

    def draw(self, samples: dict[str, Tensor], steps: int, seed: int) -> Drawn:
        """Pictures made as the runtime makes them. `samples` also holds "empty", the empty prompt's ids [1, L]."""
        ...
