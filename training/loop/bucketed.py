"""The order of examples of several sizes: as a Mixture, but whatever is in one step's batch is of one size.

Every bucket is a mixture of its own, and steps take turns: a round gives each bucket the batches of one of its epochs.
What does not fill a batch waits for the next round, so that nothing is left out, filled up or cut, and all processes
take as many steps. Any place can be computed from (seed, place) alone. Knows nothing about sizes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from handfirst.training.loop.samples import Mixture, Pick

TURNS = 4
"""Second word of the seeds of the buckets' turns."""


@dataclass(frozen=True)
class _Bucket:
    """Examples of one size: `sources` that have any, and which `examples` of each those are."""

    mixture: Mixture
    sources: tuple[int, ...]
    examples: tuple[NDArray[np.int64], ...]

    def pick(self, position: int) -> Pick:
        source, example = self.mixture.pick(position)
        return Pick(self.sources[source], int(self.examples[source][example]))


@dataclass
class BucketedMixture:
    """Epochs over several sources whose examples lie in buckets; positions are the steps' batches, end to end.

    Args:
        which: of each source, the bucket of every example, int64 [N]; bucket 0 is what takes most memory.
        weights: of each source, positive; see Mixture.
        seed: of the order.
        batch: samples of a step, over all processes.

    Raises:
        UserError: a weight that is not positive.
    """

    which: Sequence[NDArray[np.int64]]
    weights: Sequence[float]
    seed: int
    batch: int
    _round: tuple[int, NDArray[np.int64]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._buckets = []
        for bucket in sorted({int(b) for one in self.which for b in np.unique(one)}):
            found = [np.flatnonzero(one == bucket) for one in self.which]
            sources = tuple(i for i, examples in enumerate(found) if len(examples))
            examples = tuple(found[i] for i in sources)
            mixture = Mixture([len(e) for e in examples], [self.weights[i] for i in sources], self.seed)
            self._buckets.append(_Bucket(mixture, sources, examples))

    @property
    def epoch(self) -> int:
        """Positions in which every example comes as often as its weight says, on average."""
        return sum(bucket.mixture.epoch for bucket in self._buckets)

    def pick(self, position: int) -> Pick:
        """The example at a position, 0 <= position."""
        step, place = divmod(position, self.batch)
        bucket, turn = self._turn(step)
        return self._buckets[bucket].pick(turn * self.batch + place)

    def alike(self, count: int) -> list[int]:
        """As many positions in a batch of what takes most memory, some of them twice where a batch has fewer."""
        step = next(step for step in range(2**62) if self._turn(step)[0] == 0)
        return [step * self.batch + i % self.batch for i in range(count)]

    def _turn(self, step: int) -> tuple[int, int]:
        """Which bucket the step with this index takes from, and how many batches that bucket has given before."""
        number = bisect_right(range(1, (step + len(self._buckets) + 1) * self.batch), step, key=self._before)
        if self._round is None or self._round[0] != number:
            batches = np.diff([self._given(number), self._given(number + 1)], axis=0)[0]
            turns = np.repeat(np.arange(len(self._buckets)), batches)
            self._round = (number, np.random.default_rng((self.seed, TURNS, number)).permutation(turns))
        place = step - self._before(number)
        bucket = int(self._round[1][place])
        return bucket, self._given(number)[bucket] + int((self._round[1][:place] == bucket).sum())

    def _given(self, number: int) -> list[int]:
        """Batches that each bucket has given before a round."""
        return [number * bucket.mixture.epoch // self.batch for bucket in self._buckets]

    def _before(self, number: int) -> int:
        """Steps before a round."""
        return sum(self._given(number))
