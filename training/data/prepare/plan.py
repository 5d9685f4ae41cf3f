"""The plan of a data set: which picture goes into which shard, and what became of all others.

OUT/plan holds the drawn records in their final order (train.bin, val.bin), with the key points that were found for
them; what was left out before any pixel was read (skipped.jsonl), what failed when it was looked at (failed.jsonl), and
plan.json, which is written last. Shard i of a split is a fixed slice of that order, so that any process on any machine
that sees OUT can make it alone. Knows nothing about crops or models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from handfirst.engines.errors import UserError
from handfirst.training.data.prepare.record_file import read_records
from handfirst.training.data.prepare.settings import PrepareSettings
from handfirst.training.data.record import Record

Part = Literal["train", "val"]
PARTS: tuple[Part, ...] = get_args(Part)
VERSION = 3


@dataclass(frozen=True)
class SourceCounts:
    """What became of a source's pictures: found, left out by reason before any was looked at; how many of the others
    were looked at, failed by reason, and were drawn by part."""

    found: int
    skipped: dict[str, int]
    looked_at: int
    failed: dict[str, int]
    drawn: dict[str, int]


@dataclass(frozen=True)
class Shard:
    """One piece of work: slice `index` of a part."""

    part: Part
    index: int


@dataclass(frozen=True)
class Slice:
    """Pictures start .. stop - 1 of a part."""

    part: Part
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """Small; the records stay on disk.

    Attributes:
        out: the data set's folder.
        settings: what is made.
        sources: by label; a label is the source's name, numbered where a name comes twice.
        without_points: drawn pictures whose key points had to be found.
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

    def slice(self, shard: Shard) -> Slice:
        """Which pictures a shard is made from."""
        start = shard.index * self.settings.shard
        return Slice(shard.part, start, start + self.pictures(shard))

    def records(self, some: Slice) -> Iterator[Record]:
        """The records of a slice, in order."""
        return read_records(folder(self.out), some.part, range(some.start, some.stop))

    def tar(self, shard: Shard) -> Path:
        """Where the examples go."""
        return self.out / shard.part / f"{self.settings.stage}-{shard.index:06d}.tar"

    def note(self, shard: Shard) -> Path:
        """Where a shard's counts go, once its examples are complete."""
        return self.tar(shard).with_suffix(".json")


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
    with head_of(file, out) as data:
        sources = {label: SourceCounts(**source) for label, source in data["sources"].items()}
        return Plan(out, read_settings(data), sources, int(data["without_points"]))


@contextmanager
def head_of(file: Path, out: Path) -> Iterator[dict[str, Any]]:
    """A file of JSON of this VERSION, while the rest of what belongs to it is read.

    Raises:
        UserError: it is damaged or of another version, or the rest is.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']}")
        yield data
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f"'{file}' is no plan of version {VERSION} ({error}); remove '{out}' or choose another folder"
        ) from error


def read_settings(data: dict[str, Any]) -> PrepareSettings:
    """Those that a file of `head_of` was made with."""
    return PrepareSettings.model_validate_json(json.dumps(data["settings"]), strict=True)


def check_same(out: Path, old: PrepareSettings, new: PrepareSettings) -> None:
    """Refuses to go on with other settings than those that `out` was begun with.

    Raises:
        UserError: names the settings that differ.
    """
    before, now = old.model_dump(), new.model_dump()
    if differ := [name for name in now if before[name] != now[name]]:
        changes = ", ".join(f"{name} {_short(before[name])} (now {_short(now[name])})" for name in differ)
        raise UserError(f"'{out}' was prepared with {changes}; give the same options, or choose another folder")


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{o['kind']}={o['path']}" + (f":{o['count']}" if o["count"] else "") for o in value)
    if isinstance(value, dict):
        return f"{value['path']} (sha256 {value['sha256'][:8]})"
    return str(value)
