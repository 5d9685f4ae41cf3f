"""Which pictures of a source are used, and in which order: a seeded draw that needs a few numbers a picture.

Every picture has a rank, a hash of the seed and its name. The smallest ranks are drawn of those that are usable, so
that a draw does not depend on the order of the source, and a larger draw holds the smaller one. Whether a picture is
usable may not be known yet: it counts as usable until it is looked at, and a draw all of whose pictures were looked at
is final. Knows nothing about records.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
LARGEST_HELD_OUT = 0.1
"""Of a source without a validation split at most this share is held out."""
FAILED, UNKNOWN, PASSED = -1, 0, 1
"""What is known of a candidate."""
SPARE = 1.05
"""So many times the candidates that are expected to do are looked at, once some were: fewer rounds."""
LEAST_RATE = 0.02
"""However few candidates passed so far, no more than the inverse of this are looked at for each that is missing."""


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
        training: bool [N], whether the source's own split has it to train with.
    """

    ranks: NDArray[np.uint64]
    groups: NDArray[np.uint64]
    strata: Indices
    training: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ranks)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Indices of the pictures to train with and to validate with, each in the order in which they are drawn."""

    train: Indices
    val: Indices


def draw(candidates: Candidates, known: NDArray[np.int8], count: int | None, val: int) -> Drawn:
    """Of the candidates that did not fail: `val` to validate with, then `count` of the others to train with.

    To validate with are those of the source's own validation split; of a source without one, some are held out.

    Args:
        known: FAILED, UNKNOWN or PASSED of each candidate, int8 [N].
        count: None, or more than there are: all.
    """
    usable = known >= UNKNOWN
    own_split = not candidates.training.all()
    if own_split:
        held = _by_shares(candidates, ~candidates.training, usable, val)
    else:
        held = _held_out(candidates, usable, val)
    rest = candidates.training.copy()
    rest[held] = False
    return Drawn(_by_shares(candidates, rest, usable, count), held)


def next_to_look_at(candidates: Candidates, known: NDArray[np.int8], count: int | None, val: int) -> Indices:
    """Candidates whose verdict the draw needs, sorted; none: the draw is final.

    As many as are missing; once some were looked at, as many as are expected to hold that many usable ones.
    """
    now = draw(candidates, known, count, val)
    missing = [int((known[part] == UNKNOWN).sum()) for part in (now.train, now.val)]
    if not any(missing):
        return np.zeros(0, np.int64)
    looked, passed = int((known != UNKNOWN).sum()), int((known == PASSED).sum())
    factor = SPARE / max(passed / looked, LEAST_RATE) if looked else 1.0
    more = [math.ceil(n * factor) - n for n in missing]
    wide = draw(candidates, known, None if count is None else count + more[0], val + more[1])
    asked = np.concatenate([now.train, now.val, wide.train, wide.val])
    return np.unique(asked[known[asked] == UNKNOWN])


def _by_shares(
    candidates: Candidates, pool: NDArray[np.bool_], usable: NDArray[np.bool_], count: int | None
) -> Indices:
    """`count` usable ones of the pool in rank order, every stratum by its share of the pool as far as it goes."""
    order = np.argsort(candidates.ranks, kind="stable")
    left = order[(pool & usable)[order]]
    if count is None or count >= len(left):
        return left
    kinds, sizes = np.unique(candidates.strata[pool], return_counts=True)
    strata = candidates.strata[left]
    quotas = allotted(sizes, np.array([(strata == kind).sum() for kind in kinds]), count)
    keep = np.zeros(len(left), np.bool_)
    for kind, quota in zip(kinds.tolist(), quotas.tolist(), strict=True):
        keep[np.flatnonzero(strata == kind)[:quota]] = True
    return left[keep]


def allotted(sizes: Indices, available: Indices, count: int) -> Indices:
    """`count` dealt out in proportion to `sizes`; what a part does not have, others give in proportion to what is left.

    Args:
        available: what each part has; together at least `count`.
    """
    wanted = shares(sizes, count)
    given = np.minimum(wanted, available)
    short = count - int(given.sum())
    return given + shares(available - given, short) if short else given


def shares(sizes: Indices, count: int) -> Indices:
    """`count` dealt out in proportion to `sizes`, by the largest remainders."""
    exact = sizes * (count / sizes.sum())
    whole: Indices = np.floor(exact).astype(np.int64)
    rest = np.argsort(-(exact - whole), kind="stable")[: count - int(whole.sum())]
    whole[rest] += 1
    return whole


def _held_out(candidates: Candidates, usable: NDArray[np.bool_], count: int) -> Indices:
    """Indices of those held out: `count`, but at most a tenth of the usable ones.

    Whole groups are held out as long as they fit: one group at most has pictures on both sides.
    """
    order = np.lexsort((candidates.ranks, candidates.groups))
    order = order[usable[order]]
    return order[: min(count, int(len(order) * LARGEST_HELD_OUT))]
