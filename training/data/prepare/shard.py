"""One shard, from its slice of the plan to its tar: the piece of work that processes and machines are given.

Pure but for the files that it writes: the same plan and index give the same bytes anywhere. Knows nothing about who
runs it.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path
from handfirst.training.data.example import Example, encode
from handfirst.training.data.prepare.examples import Helpers, Rejected, examples
from handfirst.training.data.prepare.filters import NOT_FOUND, needs_points
from handfirst.training.data.prepare.plan import Plan, Shard
from handfirst.training.data.prepare.settings import PrepareSettings
from handfirst.training.data.record import Record
from handfirst.training.data.shards import new_shard

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


def shard_done(plan: Plan, shard: Shard) -> bool:
    """Whether a shard is complete: its note is written after its tar, and knows the tar's length."""
    try:
        wanted = json.loads(plan.note(shard).read_text(encoding="utf-8"))["bytes"]
        return bool((plan.tar(shard).stat().st_size if wanted else 0) == wanted)
    except (OSError, ValueError, KeyError):
        return False


def make_shard(plan: Plan, shard: Shard) -> None:
    """Writes a shard's examples (no tar if there are none), then the note beside it."""
    helpers = open_helpers(plan.settings)
    tallies: dict[str, Tally] = defaultdict(Tally)
    rejected: list[dict[str, str]] = []
    tar = plan.tar(shard)
    tar.parent.mkdir(parents=True, exist_ok=True)
    with new_shard(tar) as out:
        for record in _with_points(plan, shard):
            tally = tallies[record.source]
            tally.pictures += 1
            for made in _made(record, plan.settings, helpers):
                if isinstance(made, Rejected):
                    tally.skipped[made.reason] += 1
                    rejected.append({"source": record.source, "key": record.key, "reason": made.reason})
                else:
                    out.write(made.key, encode(made))
                    _count(tally, made)
    if not out.count:
        tar.unlink()
    note = {
        "bytes": tar.stat().st_size if out.count else 0,
        "sources": {source: tally.to_json() for source, tally in sorted(tallies.items())},
        "rejected": rejected,
    }
    with atomic_path(plan.note(shard)) as temporary:
        temporary.write_text(json.dumps(note, indent=1, ensure_ascii=False), encoding="utf-8")


def read_tally(plan: Plan, shard: Shard) -> dict[str, Tally]:
    """The counts of a finished shard, by source."""
    note: dict[str, Any] = json.loads(plan.note(shard).read_text(encoding="utf-8"))
    return {source: from_json(counts) for source, counts in note["sources"].items()}


@lru_cache(maxsize=1)
def open_helpers(settings: PrepareSettings) -> Helpers:
    """The models that the settings name; opened once in a process."""
    segment = caption = None
    if settings.sam is not None:
        from handfirst.training.data.labels.segment import open_sam

        segment = open_sam(Path(settings.sam))
    if settings.captioner is not None:
        from handfirst.training.data.labels.caption import open_captioner

        caption = open_captioner(Path(settings.captioner), settings.stage)
    return Helpers(segment, caption)


def _with_points(plan: Plan, shard: Shard) -> list[Record]:
    """The shard's records; key points that were looked for stand where the source had none."""
    records = list(plan.records(shard))
    if not any(needs_points(record) for record in records):
        return records
    found = read_points(plan.points(shard))
    return [dataclasses.replace(r, people=found[i]) if i in found else r for i, r in enumerate(records)]


def read_points(path: Path) -> dict[int, NDArray[np.float32]]:
    """What `points` found for a shard: place in the shard -> people [1, 133, 3], or [0, 133, 3] where nothing.

    Raises:
        UserError: it has not been made yet.
    """
    try:
        with np.load(path) as file:
            places, people, there = file["places"], file["people"], file["found"]
    except OSError as error:
        raise UserError(f"the key points in '{path}' are missing; run: handfirst prepare points") from error
    return {int(p): people[i : i + 1] if there[i] else people[:0] for i, p in enumerate(places)}


def _made(record: Record, settings: PrepareSettings, helpers: Helpers) -> list[Example | Rejected]:
    if needs_points(record):
        return [Rejected(NOT_FOUND)]
    return list(examples(record, settings, helpers))


def _count(tally: Tally, example: Example) -> None:
    facts = example.attributes
    tally.examples += 1
    tally.kinds["gesture"][facts.get("gesture", "unknown")] += 1
    tally.kinds["side"][facts["side"]] += 1
    tally.kinds["view"].update(facts["view"].split(" and "))
    tally.kinds["hand_px"].update(size_class(float(v)) for v in facts["hand_px"].split(" and "))
    tally.kinds["caption"][facts["caption_from"]] += 1
    tally.kinds["mask"][facts["mask_from"]] += 1
