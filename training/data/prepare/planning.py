"""Making a plan: one pass over every source, then the draw.

Memory stays bounded: a record goes to a spill file as soon as it is read, and 28 bytes of numbers stay. What was drawn
is copied from there in its final order, a seeded shuffle of all sources together, so that every shard is mixed as the
whole is.
"""

from __future__ import annotations

import json
import shutil
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np

from handfirst.engines.errors import UserError
from handfirst.training.data.prepare.draw import Candidates, Indices, draw, hold_out, rank
from handfirst.training.data.prepare.filters import REMEDY, needs_points, rejection
from handfirst.training.data.prepare.plan import PARTS, Part, Plan, SourceCounts, folder, left_out, to_json
from handfirst.training.data.prepare.record_file import RecordWriter, write_offsets
from handfirst.training.data.prepare.settings import PrepareSettings
from handfirst.training.data.record import Record, Skipped, Source

GROUPS = ("user", "capture", "sequence")
"""Attributes that name whom or what a picture shows: pictures that share one are held out together."""
Watch = Callable[[str, int], None]


@dataclass
class _Seen:
    """What stays in memory of one source's usable pictures."""

    place: array[int] = field(default_factory=lambda: array("q"))
    ranks: array[int] = field(default_factory=lambda: array("Q"))
    groups: array[int] = field(default_factory=lambda: array("Q"))
    strata: array[int] = field(default_factory=lambda: array("I"))
    training: array[int] = field(default_factory=lambda: array("b"))
    pointless: array[int] = field(default_factory=lambda: array("b"))
    kinds: dict[str, int] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    found: int = 0

    def candidates(self) -> Candidates:
        return Candidates(
            np.frombuffer(self.ranks, np.uint64) if self.ranks else np.zeros(0, np.uint64),
            np.frombuffer(self.groups, np.uint64) if self.groups else np.zeros(0, np.uint64),
            np.asarray(self.strata, np.int64),
        )


def make_plan(out: Path, settings: PrepareSettings, sources: Sequence[Source], watch: Watch) -> Plan:
    """Reads every source once and writes OUT/plan, in one step.

    Args:
        sources: one for each of the settings' origins, in their order.
        watch: told a source's label and how many of its pictures were read.

    Raises:
        UserError: nothing in the sources is of use; the most frequent reason is named.
    """
    building = out / ".plan.part"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        plan = _build(building, out, settings, _labelled(sources), watch)
        shutil.rmtree(folder(out), ignore_errors=True)
        building.rename(folder(out))
    finally:
        shutil.rmtree(building, ignore_errors=True)
        with suppress(OSError):
            out.rmdir()  # only if nothing is in it: a failed plan leaves no trace
    return plan


def _labelled(sources: Sequence[Source]) -> dict[str, Source]:
    labels: dict[str, Source] = {}
    for source in sources:
        twice = sum(other.name == source.name for other in labels.values())
        labels[f"{source.name}-{twice + 1}" if twice else source.name] = source
    return labels


def _build(
    building: Path, out: Path, settings: PrepareSettings, sources: Mapping[str, Source], watch: Watch
) -> Plan:  # fmt: skip
    spill = building / "spill"
    with spill.open("wb") as file, (building / "skipped.jsonl").open("w", encoding="utf-8") as skips:
        writer = RecordWriter(file)
        seen = {label: _read(label, source, settings, writer, skips, watch) for label, source in sources.items()}
    chosen = {
        label: _choose(some, origin.count, settings.val)
        for (label, some), origin in zip(seen.items(), settings.origins, strict=True)
    }
    for part in PARTS:
        _write_part(building, part, settings.seed, spill, writer.offsets, [(seen[k], chosen[k][part]) for k in seen])
    spill.unlink()
    counts = {
        label: SourceCounts(some.found, dict(some.skipped.most_common()), {p: len(chosen[label][p]) for p in PARTS})
        for label, some in seen.items()
    }
    pointless = sum(
        int(np.asarray(some.pointless)[chosen[label][part]].sum()) for label, some in seen.items() for part in PARTS
    )
    plan = Plan(out, settings, counts, pointless)
    if not plan.shards:
        raise UserError(_nothing(plan))
    (building / "plan.json").write_text(to_json(plan), encoding="utf-8")
    return plan


def _read(
    label: str, source: Source, settings: PrepareSettings, writer: RecordWriter, skips: TextIO, watch: Watch
) -> _Seen:
    """One pass over a source: usable records go to the spill file, the others become a line of `skips`."""
    seen = _Seen()
    for item in source:
        seen.found += 1
        if seen.found % 100 == 0:
            watch(label, seen.found)
        reason = item.reason if isinstance(item, Skipped) else _unusable(item, settings)
        if reason is not None or isinstance(item, Skipped):
            seen.skipped[reason or ""] += 1
            skips.write(json.dumps({"source": label, "key": item.key, "reason": reason}, ensure_ascii=False) + "\n")
            continue
        _remember(seen, label, item, settings.seed, len(writer.offsets) - 1)
        writer.write(_relabelled(item, label))
    watch(label, seen.found)
    return seen


def _unusable(record: Record, settings: PrepareSettings) -> str | None:
    if record.split == "test":
        return "the source's test split"
    return rejection(record, settings)


def _remember(seen: _Seen, label: str, record: Record, seed: int, place: int) -> None:
    seen.place.append(place)
    seen.ranks.append(rank(seed, label, record.key))
    group = next((record.attributes[name] for name in GROUPS if record.attributes.get(name)), record.key)
    seen.groups.append(rank(seed, label, "group", group))
    seen.strata.append(seen.kinds.setdefault(record.attributes.get("gesture", ""), len(seen.kinds)))
    seen.training.append(record.split == "train")
    seen.pointless.append(needs_points(record))


def _relabelled(record: Record, label: str) -> Record:
    if record.source == label:
        return record
    return Record(
        label, record.key, record.image, record.people, record.masks, record.caption, record.attributes, record.split
    )


def _choose(seen: _Seen, count: int | None, val: int) -> dict[Part, Indices]:
    """Indices of the pictures of each part, in rank order."""
    candidates, training = seen.candidates(), np.asarray(seen.training, np.bool_)
    learn, held = np.flatnonzero(training), np.flatnonzero(~training)
    if not len(held) and len(learn):
        keep, out = hold_out(candidates.take(learn), val)
        learn, held = learn[keep], learn[out]
    return {
        "train": learn[draw(candidates.take(learn), count)] if len(learn) else learn,
        "val": held[draw(candidates.take(held), val)] if val and len(held) else held[:0],
    }


def _write_part(
    building: Path, part: Part, seed: int, spill: Path, offsets: array[int], sources: Sequence[tuple[_Seen, Indices]]
) -> None:
    """The chosen records of all sources, shuffled; their ranks are no order, for a draw leaves small ranks only."""
    places = np.concatenate([np.asarray(some.place, np.int64)[chosen] for some, chosen in sources])
    order = np.random.default_rng((seed, PARTS.index(part))).permutation(len(places))
    with spill.open("rb") as source, (building / f"{part}.bin").open("wb") as file:
        writer = RecordWriter(file)
        for place in places[order].tolist():
            source.seek(offsets[place])
            writer.write_bytes(source.read(offsets[place + 1] - offsets[place]))
    write_offsets(building / f"{part}.npy", writer.offsets)


def _nothing(plan: Plan) -> str:
    found = sum(source.found for source in plan.sources.values())
    if not found:
        return f"no pictures found in {', '.join(o.path for o in plan.settings.origins)}; check the paths"
    reason, count = left_out(plan).most_common(1)[0]
    remedy = f"; {REMEDY[reason]}" if reason in REMEDY else ""
    return f"none of {found} pictures is of use; {count} of them: {reason}{remedy}"
