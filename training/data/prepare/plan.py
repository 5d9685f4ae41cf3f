"""The plan of a data set: which picture goes into which shard, settled on disk before any pixel is read.

OUT/plan holds the drawn records in their final order (train.bin, val.bin), what was left out and why (skipped.jsonl),
and plan.json, which is written last. Shard i of a split is a fixed slice of that order, so that any process on any
machine that sees OUT can make it alone. Knows nothing about crops or models.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from handfirst.engines.errors import UserError
from handfirst.training.data.prepare.record_file import read_records
from handfirst.training.data.prepare.settings import PrepareSettings
from handfirst.training.data.record import Record

Part = Literal["train", "val"]
PARTS: tuple[Part, ...] = get_args(Part)
VERSION = 2


@dataclass(frozen=True)
class SourceCounts:
    """What a source had before the draw: pictures found, pictures left out by reason, pictures drawn by part."""

    found: int
    skipped: dict[str, int]
    drawn: dict[str, int]


@dataclass(frozen=True)
class Shard:
    """One piece of work: slice `index` of a part."""

    part: Part
    index: int


@dataclass(frozen=True)
class Plan:
    """Small; the records stay on disk.

    Attributes:
        out: the data set's folder.
        settings: what is made.
        sources: by label; a label is the source's name, numbered where a name comes twice.
        without_points: drawn pictures whose key points have to be found.
    """

    out: Path
    settings: PrepareSettings
    sources: dict[str, SourceCounts]
    without_points: int

    def count(self, part: Part) -> int:
        """Pictures of a part."""
        return sum(source.drawn[part] for source in self.sources.values())

    @property
    def shards(self) -> list[Shard]:
        """All the work, training first."""
        return [Shard(part, i) for part in PARTS for i in range(-(-self.count(part) // self.settings.shard))]

    def pictures(self, shard: Shard) -> int:
        """How many pictures a shard is made from."""
        return min(self.settings.shard, self.count(shard.part) - shard.index * self.settings.shard)

    def records(self, shard: Shard) -> Iterator[Record]:
        """The records of a shard, in order."""
        start = shard.index * self.settings.shard
        return read_records(folder(self.out), shard.part, start, start + self.settings.shard)

    def tar(self, shard: Shard) -> Path:
        """Where the examples go."""
        return self.out / shard.part / f"{self.settings.stage}-{shard.index:06d}.tar"

    def note(self, shard: Shard) -> Path:
        """Where a shard's counts go, once its examples are complete."""
        return self.tar(shard).with_suffix(".json")

    def points(self, shard: Shard) -> Path:
        """Where found key points go."""
        return self.out / "points" / f"{shard.part}-{shard.index:06d}.npz"


def folder(out: Path) -> Path:
    """Where a data set's plan lies."""
    return out / "plan"


def to_json(plan: Plan) -> str:
    """What plan.json holds."""
    sources = {label: vars(source) for label, source in plan.sources.items()}
    head = {"version": VERSION, "settings": plan.settings.model_dump(mode="json")}
    return json.dumps(head | {"sources": sources, "without_points": plan.without_points}, indent=1, ensure_ascii=False)


def read_plan(out: Path) -> Plan | None:
    """The plan that lies in `out`, None if there is none.

    Raises:
        UserError: it is damaged or of another version.
    """
    file = folder(out) / "plan.json"
    if not file.exists():
        return None
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']}")
        sources = {label: SourceCounts(**source) for label, source in data["sources"].items()}
        return Plan(
            out,
            PrepareSettings.model_validate_json(json.dumps(data["settings"]), strict=True),
            sources,
            int(data["without_points"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"'{file}' is no plan of version {VERSION} ({error}); remove '{out}' or choose another folder"
        ) from error


def check_same(plan: Plan, settings: PrepareSettings) -> None:
    """Refuses to go on with other settings than those of the plan.

    Raises:
        UserError: names the settings that differ.
    """
    old, new = plan.settings.model_dump(), settings.model_dump()
    if differ := [name for name in new if old[name] != new[name]]:
        changes = ", ".join(f"{name} {_short(old[name])} (now {_short(new[name])})" for name in differ)
        raise UserError(f"'{plan.out}' was prepared with {changes}; give the same options, or choose another folder")


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{o['kind']}={o['path']}" + (f":{o['count']}" if o["count"] else "") for o in value)
    return str(value)


def left_out(plan: Plan) -> Counter[str]:
    """Pictures left out before the draw, by reason, of all sources."""
    total: Counter[str] = Counter()
    for source in plan.sources.values():
        total.update(source.skipped)
    return total
