"""What is trained, and what a run asks of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

if TYPE_CHECKING:
    from handfirst.training.data.buckets import Size
    from handfirst.training.loop.kept import DrawingKeeper
    from handfirst.training.loop.samples import SampleMaker


class Task(nn.Module, ABC):
    """A model with its losses. The trainable parameters are those that require gradients.

    Args:
        name: what the task is called in the bar and in errors.
        model: whose weights are the result; everything trainable lies in it.
    """

    def __init__(self, name: str, model: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.model = model

    @abstractmethod
    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Named scalar losses of a micro-batch; their sum is minimised."""


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


class Stage(ABC):
    """A stage's networks, ready to be trained: what a run and its validations ask about stacked samples."""

    task: Task
    """What the loop trains."""

    @property
    def buckets(self) -> tuple[Size, ...]:
        """Width and height of the canvases that its samples lie on, the largest in front; none: one size for all."""
        return ()

    def to(self, device: torch.device) -> None:  # noqa: B027  a stage with nothing frozen has nothing to say
        """Takes what stays frozen beside the task to the device; where there is nothing, nothing."""

    @property
    @abstractmethod
    def train_steps(self) -> int:
        """T of the schedule: held-out samples are spread over the times 0 .. T - 1."""

    @property
    def last_time(self) -> int | None:
        """The time step from which the runtime takes what `score` judges; None: there is nothing to judge."""
        return None

    @abstractmethod
    def encode(self, samples: dict[str, Tensor]) -> Any:
        """Stacked samples on the device -> what the task takes."""

    def keeper(self, samples: SampleMaker) -> DrawingKeeper | None:
        """What of the examples is computed once and kept; None: nothing can be.

        Args:
            samples: of this stage.
        """
        return None

    def losses(self, samples: dict[str, Tensor]) -> dict[str, Tensor]:
        """The task's."""
        losses: dict[str, Tensor] = self.task(self.encode(samples))
        return losses

    def score(self, samples: dict[str, Tensor]) -> dict[str, Tensor]:
        """Figures [B] about samples at `last_time`; asked only where there is one."""
        return {}

    @abstractmethod
    def draw(self, samples: dict[str, Tensor], steps: int, seed: int) -> Drawn:
        """Pictures made as the runtime makes them."""


def trained_parameters(task: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in task.parameters() if p.requires_grad)
