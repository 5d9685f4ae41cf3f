"""Counts of what was made and what was rejected: of one shard, and added up over all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

SIZES = (0, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
"""Lower ends of the classes of hand sizes, in pixels."""
KINDS = ("gesture", "view", "side", "hand_px", "caption", "mask")


def size_class(pixels: float) -> str:
    """For example "96-127"."""
    i = max(k for k, low in enumerate(SIZES) if pixels >= low)
    return f"{SIZES[i]}-{SIZES[i + 1] - 1}" if i + 1 < len(SIZES) else f"{SIZES[i]}-"


@dataclass
class Tally:
    """What became of the pictures of one source.

    Attributes:
        pictures: how many were read.
        examples: how many examples they gave.
        skipped: pictures and crops that gave none, by reason.
        kinds: for each of KINDS, how many examples (or hands) of which.
    """

    pictures: int = 0
    examples: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})

    def add(self, other: Tally) -> None:
        """Adds another's counts to these."""
        self.pictures += other.pictures
        self.examples += other.examples
        self.skipped.update(other.skipped)
        for kind in KINDS:
            self.kinds[kind].update(other.kinds[kind])

    def to_json(self) -> dict[str, Any]:
        """Plain counts, most frequent first, hand sizes in order."""
        kinds = {kind: _ordered(kind, counts) for kind, counts in self.kinds.items()}
        skipped = dict(sorted(self.skipped.items(), key=lambda item: (-item[1], item[0])))
        return {"pictures": self.pictures, "examples": self.examples, "skipped": skipped, **kinds}


def from_json(data: dict[str, Any]) -> Tally:
    """The inverse of `Tally.to_json`."""
    kinds = {kind: Counter(data[kind]) for kind in KINDS}
    return Tally(data["pictures"], data["examples"], Counter(data["skipped"]), kinds)


def total(tallies: Iterable[dict[str, Tally]]) -> dict[str, Tally]:
    """Sums by source, in order of their names."""
    out: dict[str, Tally] = {}
    for tally in tallies:
        for source, one in tally.items():
            out.setdefault(source, Tally()).add(one)
    return dict(sorted(out.items()))


def _ordered(kind: str, counts: Counter[str]) -> dict[str, int]:
    if kind == "hand_px":
        return dict(sorted(counts.items(), key=lambda item: int(item[0].partition("-")[0])))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
