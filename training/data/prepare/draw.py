"""Which pictures of a source are used, and in which order: a seeded draw that needs a few numbers a picture.

Every picture has a rank, a hash of the seed and its name. The smallest ranks are drawn, so that a draw does not depend
on the order of the source, and a larger draw holds the smaller one. Knows nothing about records.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
LARGEST_HELD_OUT = 0.1
"""Of a source without a validation split at most this share is held out."""


def rank(seed: int, *words: str) -> int:
    """A uniform 64-bit number, the same on every machine."""
    return int.from_bytes(blake2b("\0".join((str(seed), *words)).encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, eq=False)
class Candidates:
    """N pictures of one source that may be used.

    Attributes:
        ranks: uint64 [N], of the pictures.
        groups: uint64 [N], of what must not be torn apart: the pictures of one person, of one sequence.
        strata: int [N], of which kind each picture is; a draw keeps the kinds' proportions.
    """

    ranks: NDArray[np.uint64]
    groups: NDArray[np.uint64]
    strata: Indices

    def take(self, chosen: Indices) -> Candidates:
        """Those at `chosen`, in its order."""
        return Candidates(self.ranks[chosen], self.groups[chosen], self.strata[chosen])


def draw(candidates: Candidates, count: int | None) -> Indices:
    """Indices of `count` pictures (None, or more than there are: of all), every stratum by its share, in rank order."""
    total = len(candidates.ranks)
    order = np.argsort(candidates.ranks, kind="stable")
    if count is None or count >= total:
        return order
    kinds, sizes = np.unique(candidates.strata, return_counts=True)
    quota = dict(zip(kinds.tolist(), shares(sizes, count).tolist(), strict=True))
    strata = candidates.strata[order]
    keep = np.zeros(total, np.bool_)
    for kind, wanted in quota.items():
        keep[np.flatnonzero(strata == kind)[:wanted]] = True
    return order[keep]


def shares(sizes: Indices, count: int) -> Indices:
    """`count` dealt out in proportion to `sizes`, by the largest remainders."""
    exact = sizes * (count / sizes.sum())
    whole: Indices = np.floor(exact).astype(np.int64)
    rest = np.argsort(-(exact - whole), kind="stable")[: count - int(whole.sum())]
    whole[rest] += 1
    return whole


def hold_out(candidates: Candidates, count: int) -> tuple[Indices, Indices]:
    """Indices of those to learn from and of those held out: `count` of them, but at most a tenth.

    Whole groups are held out as long as they fit: one group at most has pictures on both sides.
    """
    order = np.lexsort((candidates.ranks, candidates.groups))
    held = min(count, int(len(order) * LARGEST_HELD_OUT))
    return np.sort(order[held:]), np.sort(order[:held])
