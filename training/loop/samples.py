"""Batches out of shards: which samples come in which step, made by worker processes ahead of time.

The order is an endless, shuffled sequence over weighted sources in which any place can be computed. A sample's place
in the whole run is its only identity: order, noise and dropouts follow from (seed, place). So a run
that goes on at step n sees what it would have seen, whatever the number of workers, parts or processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset

from handfirst.engines.errors import UserError
from handfirst.engines.installed import usable_cores
from handfirst.training.data.example import Example
from handfirst.training.data.shards import Shards
from handfirst.training.loop.feed import Share

TRAINING, VALIDATION, ORDER = 0, 1, 2
"""Second words of the seeds: of the two kinds of samples, and of their order."""

Sample = dict[str, NDArray[Any]]
"""What one example comes to, randomness included; its maker says names, shapes and types."""
Batch = dict[str, Tensor]
"""Samples, stacked."""


class Pick(NamedTuple):
    """An example: the source's index and the example's index in it."""

    source: int
    example: int


@dataclass
class Mixture:
    """Epochs over several sources.

    In one epoch, a source of N examples with weight w gives round(N w) of them (at least one): w = 2 shows each twice,
    w = 0.5 shows half of them, the other half in the next epoch. Within an epoch everything is shuffled together.

    Args:
        sizes: examples of each source.
        weights: of each source, positive.
        seed: of the order.

    Raises:
        UserError: a weight that is not positive.
    """

    sizes: Sequence[int]
    weights: Sequence[float]
    seed: int
    _epoch: tuple[int, NDArray[np.int64]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if bad := [w for w in self.weights if not w > 0]:
            raise UserError(f"expected the weight of a data set to be positive, got {bad[0]:g}")
        self._draws = [max(1, round(n * w)) for n, w in zip(self.sizes, self.weights, strict=True)]

    @property
    def epoch(self) -> int:
        """Positions per epoch."""
        return sum(self._draws)

    def pick(self, position: int) -> Pick:
        """The example at a position, 0 <= position."""
        epoch, place = divmod(position, self.epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._shuffled(epoch))
        source, example = self._epoch[1][place]
        return Pick(int(source), int(example))

    def alike(self, count: int) -> list[int]:
        """The first positions: all samples are of one size."""
        return list(range(count))

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        """All picks of an epoch, int64 [epoch, 2]."""
        rows = []
        for source, draws in enumerate(self._draws):
            examples = self._run(source, epoch * draws, draws)
            rows.append(np.stack([np.full(draws, source, np.int64), examples], 1))
        order = np.random.default_rng((self.seed, ORDER, epoch)).permutation(self.epoch)
        return np.concatenate(rows)[order]

    def _run(self, source: int, start: int, count: int) -> NDArray[np.int64]:
        """Places start .. start + count - 1 of a source's own sequence, one permutation of it after the other."""
        size = self.sizes[source]
        rounds = range(start // size, (start + count - 1) // size + 1)
        whole = [np.random.default_rng((self.seed, ORDER, 1 + source, r)).permutation(size) for r in rounds]
        first = start - rounds.start * size
        return np.concatenate(whole)[first : first + count]


class Order(Protocol):
    """Which example comes when: a `Mixture`, or a `BucketedMixture` (bucketed.py) of examples of several sizes."""

    @property
    def epoch(self) -> int:
        """Positions per epoch."""
        ...

    def pick(self, position: int) -> Pick:
        """The example at a position, 0 <= position."""
        ...

    def alike(self, count: int) -> list[int]:
        """As many positions of samples that can be stacked and take most memory."""
        ...


class SampleMaker(Protocol):
    """Makes the samples of one stage. Picklable."""

    def draw(self, example: Example, rng: np.random.Generator) -> Sample:
        """A sample for training: time, noise, dropouts and colours from `rng`."""
        ...

    def fix(self, example: Example, rng: np.random.Generator, t: int) -> Sample:
        """A sample for validation: at time t, with the prompt, without a mask in the condition, colours untouched."""
        ...


@dataclass
class TrainingSamples(Dataset[Sample]):
    """Samples by their place in the run."""

    sources: Sequence[Shards]
    mixture: Order
    make: SampleMaker
    seed: int

    def __getitem__(self, place: int) -> Sample:
        pick = self.mixture.pick(place)
        example = self.sources[pick.source].read(pick.example)
        return self.make.draw(example, np.random.default_rng((self.seed, TRAINING, place)))


@dataclass
class HeldOutSamples(Dataset[Sample]):
    """The same samples at every validation: evenly spread over the examples and over the time steps.

    Args:
        count: most samples; where there are fewer examples, each is there once.
        train_steps: T of the schedule.
        t: the time of all of them; None: spread over 0 .. T - 1.
        which: the bucket of every example, int64 [N]: samples of several are not stacked; None: all are of one size.
    """

    shards: Shards
    make: SampleMaker
    count: int
    train_steps: int
    t: int | None = None
    which: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return min(self.count, len(self.shards))

    def __getitem__(self, index: int) -> Sample:
        example = self.shards.read(self._example(index))
        # steps of the golden ratio spread any count of samples evenly over time
        spread = int((index * 0.6180339887 % 1) * self.train_steps)
        rng = np.random.default_rng((VALIDATION, index))
        return self.make.fix(example, rng, spread if self.t is None else self.t)

    def batches(self, size: int) -> list[list[int]]:
        """All indices in batches of at most so many, each of one bucket."""
        places: dict[int, list[int]] = {}
        for index in range(len(self)):
            places.setdefault(0 if self.which is None else int(self.which[self._example(index)]), []).append(index)
        return [some[i : i + size] for _, some in sorted(places.items()) for i in range(0, len(some), size)]

    def _example(self, index: int) -> int:
        return index * len(self.shards) // len(self)


class PlacedSamples(Protocol):
    """Training samples by their place in the run: `TrainingSamples`, or those of what was kept (kept.py)."""

    mixture: Order

    def __getitem__(self, place: int, /) -> Sample: ...


@dataclass(frozen=True)
class ShardFeed:
    """What a loop takes from shards.

    Args:
        samples: by place.
        last: the step to end before.
        encode: stacked samples on the device -> what the task takes.
        workers: processes that make the samples.
    """

    samples: PlacedSamples
    last: int
    encode: Callable[[Batch], Any]
    workers: int

    @property
    def epoch(self) -> int:
        """Samples of an epoch of the mixture."""
        return self.samples.mixture.epoch

    def batches(self, first: int, share: Share, device: torch.device) -> Iterator[Any]:
        """Encoded where they are asked for, in the precision of that moment.

        Raises:
            UserError: an example cannot be read.
        """
        pin = device.type == "cuda"
        for batch in training_batches(self.samples, share, (first, self.last), self.workers, pin):
            yield self.encode({name: tensor.to(device, non_blocking=pin) for name, tensor in batch.items()})


def training_batches(
    samples: PlacedSamples, share: Share, steps: tuple[int, int], workers: int, pin: bool
) -> Iterator[Batch]:
    """The micro-batches of the steps `steps[0] .. steps[1] - 1`, in order.

    Raises:
        UserError: an example cannot be read.
    """
    yield from _load(samples, BatchSampler(_Places(share, *steps), share.size, drop_last=False), workers, pin)


def held_out_batches(samples: HeldOutSamples, size: int, workers: int) -> Iterator[Batch]:
    """All of them, the last batch of each size smaller.

    Raises:
        UserError: an example cannot be read.
    """
    yield from _load(samples, samples.batches(size), workers, False)


@dataclass(frozen=True)
class _Places:
    share: Share
    first: int
    last: int

    def __iter__(self) -> Iterator[int]:
        return self.share.places(self.first, self.last)

    def __len__(self) -> int:
        return (self.last - self.first) * self.share.parts * self.share.size


def _load(samples: Any, batches: Iterable[list[int]], workers: int, pin: bool) -> Iterator[Batch]:
    workers = min(workers, usable_cores())  # more only wait for each other, and torch warns of them
    loader = DataLoader(
        samples,
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=alone,
        prefetch_factor=4 if workers else None,
    )
    try:
        yield from loader
    except UserError as error:  # from a worker it comes with the worker's traceback in front
        last = str(error).strip().splitlines()[-1]
        raise UserError(last.removeprefix("handfirst.engines.errors.UserError: ")) from error


def alone(worker: int) -> None:
    """A worker is one thread: there is one for every core already."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
