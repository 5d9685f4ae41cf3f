"""What is trained, what feeds it, and what a validation finds: the loop's three nouns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from handfirst.engines.errors import UserError


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


@dataclass(frozen=True)
class Share:
    """Which part of every step's batch is this process's own.

    Attributes:
        batch: samples of a step.
        parts: micro-batches of a process.
        processes, rank: how many processes there are, and which one this is.
    """

    batch: int
    parts: int = 1
    processes: int = 1
    rank: int = 0

    def __post_init__(self) -> None:
        if self.batch % (self.parts * self.processes):
            raise UserError(
                f"expected a batch that {self.processes} processes x {self.parts} parts divide, got {self.batch}"
            )

    @property
    def size(self) -> int:
        """Samples of one micro-batch."""
        return self.batch // (self.parts * self.processes)

    def places(self, first: int, last: int) -> Iterator[int]:
        """The places of this process in the steps first .. last - 1, micro-batch after micro-batch."""
        for step in range(first, last):
            for part in range(self.parts):
                start = step * self.batch + (part * self.processes + self.rank) * self.size
                yield from range(start, start + self.size)


class Feed(Protocol):
    """Where the batches come from. Step n gets the same one whenever it is asked for."""

    @property
    def epoch(self) -> int | None:
        """Samples of an epoch, where there is such a thing."""
        ...

    def batches(self, first: int, share: Share, device: torch.device) -> Iterator[Any]:
        """The micro-batches of this share from the step with index `first` on, on the device."""
        ...


@dataclass(frozen=True)
class StepFeed:
    """Whole batches, each made from its step's index where it is used: for one process."""

    make: Callable[[int], Any]
    epoch: int | None = None

    def batches(self, first: int, share: Share, device: torch.device) -> Iterator[Any]:
        """Endless.

        Raises:
            UserError: a batch would have to be cut.
        """
        if share.parts * share.processes > 1:
            raise UserError(
                f"expected one process that takes its batch in one part, got {share.processes} x {share.parts}"
            )
        return map(self.make, itertools.count(first))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures about the averaged weights, and a sample sheet: rows of uint8 [N, H, W, 3] or [N, H, W]."""

    figures: dict[str, float] = field(default_factory=dict)
    rows: tuple[NDArray[np.uint8], ...] = ()
