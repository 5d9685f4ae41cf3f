"""Which example comes n-th: an endless, shuffled sequence over weighted sources in which any place can be computed.

A position is all that a resumption needs. Knows nothing about batches, processes or what is drawn for an example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError

ORDER = 2
"""Second word of the seeds of the order; the samples themselves have another."""


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
