"""What feeds a task: batches that follow from their step alone, so that a resumed run repeats the steps it lost.

Random numbers are made where they are used: nothing crosses from the host to a GPU. They depend on the kind of device
(a GPU's generator is another), never on what was drawn before.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from handfirst.engines.errors import UserError


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
            for start in self.starts(step):
                yield from range(start, start + self.size)

    def starts(self, step: int) -> Iterator[int]:
        """The first place of each of its micro-batches in a step."""
        for part in range(self.parts):
            yield step * self.batch + (part * self.processes + self.rank) * self.size


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
    """Whole batches, each made from its step's index where it is used; every process makes all of it and takes its
    share, so that any number of processes and parts learns from the same samples."""

    make: Callable[[int], Any]
    epoch: int | None = None

    def batches(self, first: int, share: Share, device: torch.device) -> Iterator[Any]:
        """Endless.

        Raises:
            UserError: a batch of more than tensors would have to be cut.
        """
        for step in itertools.count(first):
            yield from _own(self.make(step), share)


def _own(batch: Any, share: Share) -> Iterator[Any]:
    """The micro-batches of one process: rows of every tensor of a dataclass."""
    if share.parts * share.processes == 1:
        yield batch
        return
    rows = {field.name: getattr(batch, field.name) for field in fields(batch)} if is_dataclass(batch) else {}
    if not rows or not all(isinstance(value, Tensor) for value in rows.values()):
        raise UserError(f"expected one process that takes its batch in one part, got {share.processes} x {share.parts}")
    for start in share.starts(0):
        yield replace(batch, **{name: value[start : start + share.size] for name, value in rows.items()})


class Draws:
    """A stream of random tensors on one device.

    Args:
        device: where the tensors are made.
        key: whole numbers that name the stream: a seed, a phase, a step.
    """

    def __init__(self, device: torch.device, *key: int) -> None:
        self.device = device
        self.generator = torch.Generator(device)
        self.generator.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def integers(self, below: int, count: int) -> Tensor:
        """Uniform in 0 .. below - 1: int64 [count]."""
        return torch.randint(below, (count,), generator=self.generator, device=self.device)

    def chance(self, probability: float, count: int) -> Tensor:
        """True with `probability`: bool [count]."""
        return torch.rand(count, generator=self.generator, device=self.device) < probability

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, float32."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform in low .. high, float32."""
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.device)
