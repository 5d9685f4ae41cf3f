"""The candidates of a data set on disk: every picture that its source and key points do not rule out, in one pass.

OUT/candidates holds their records (records.bin), what stays of each in memory (table.npz: 29 bytes), what was left out
and why (skipped.jsonl) and pool.json, which is written last. Whether a candidate is of use, its pixels say: trial.py
looks at them. The folder goes when the plan is made.
"""

from __future__ import annotations

import json
import shutil
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.training.data.prepare.draw import Candidates, rank
from handfirst.training.data.prepare.filters import REMEDY, needs_points, rejection
from handfirst.training.data.prepare.plan import VERSION, head_of, read_settings
from handfirst.training.data.prepare.record_file import RecordWriter, write_offsets
from handfirst.training.data.prepare.settings import PrepareSettings
from handfirst.training.data.prepare.table import described
from handfirst.training.data.record import Record, Skipped, Source

GROUPS = ("user", "capture", "sequence")
"""Attributes that name whom or what a picture shows: pictures that share one are held out together."""
Watch = Callable[[str, int], None]
RECORDS, TABLE, HEAD, SKIPPED = "records", "table.npz", "pool.json", "skipped.jsonl"


@dataclass(frozen=True, eq=False)
class Pool:
    """The records stay on disk.

    Attributes:
        out: the data set's folder.
        settings: what is made.
        sources: by label, which pictures are whose, what was found and what was left out. A label is the source's name,
            numbered where a name comes twice.
        pointless: bool [N], of all candidates: whether their key points have to be found.
        candidates: of all sources, one after the other.
    """

    out: Path
    settings: PrepareSettings
    sources: dict[str, Found]
    pointless: NDArray[np.bool_]
    candidates: Candidates

    def of(self, label: str) -> Candidates:
        """One source's."""
        c, part = self.candidates, self.sources[label].places
        return Candidates(c.ranks[part], c.groups[part], c.strata[part], c.training[part])


@dataclass(frozen=True)
class Found:
    """What a source has: pictures found, those left out by reason, and the range of its candidates."""

    found: int
    skipped: dict[str, int]
    start: int
    stop: int

    @property
    def places(self) -> slice:
        """Of its candidates among all."""
        return slice(self.start, self.stop)


@dataclass
class _Seen:
    """What stays in memory of one source's candidates."""

    ranks: array[int] = field(default_factory=lambda: array("Q"))
    groups: array[int] = field(default_factory=lambda: array("Q"))
    strata: array[int] = field(default_factory=lambda: array("I"))
    training: array[int] = field(default_factory=lambda: array("b"))
    pointless: array[int] = field(default_factory=lambda: array("b"))
    kinds: dict[str, int] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    found: int = 0


def folder(out: Path) -> Path:
    """Where a data set's candidates lie until it has a plan."""
    return out / "candidates"


def make_pool(out: Path, settings: PrepareSettings, sources: Sequence[Source], watch: Watch) -> Pool:
    """Reads every source once and writes OUT/candidates, in one step.

    Args:
        sources: one for each of the settings' origins, in their order.
        watch: told a source's label and how many of its pictures were read.

    Raises:
        UserError: nothing in the sources is of use; the most frequent reason is named.
    """
    building = out / ".candidates.part"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        _build(building, settings, _labelled(sources), watch)
        shutil.rmtree(folder(out), ignore_errors=True)
        building.rename(folder(out))
    finally:
        shutil.rmtree(building, ignore_errors=True)
        with suppress(OSError):
            out.rmdir()  # only if nothing is in it: a failed pass leaves no trace
    made = read_pool(out)
    assert made is not None
    return made


def read_pool(out: Path) -> Pool | None:
    """The candidates that lie in `out`, None if there are none.

    Raises:
        UserError: they are damaged or of another version.
    """
    head = folder(out) / HEAD
    if not head.exists():
        return None
    with head_of(head, out) as data, np.load(folder(out) / TABLE) as table:
        sources = {label: Found(**source) for label, source in data["sources"].items()}
        candidates = Candidates(table["ranks"], table["groups"], table["strata"], table["training"])
        return Pool(out, read_settings(data), sources, table["pointless"], candidates)


def _labelled(sources: Sequence[Source]) -> dict[str, Source]:
    labels: dict[str, Source] = {}
    for source in sources:
        twice = sum(other.name == source.name for other in labels.values())
        labels[f"{source.name}-{twice + 1}" if twice else source.name] = source
    return labels


def _build(building: Path, settings: PrepareSettings, sources: Mapping[str, Source], watch: Watch) -> None:
    with (building / f"{RECORDS}.bin").open("wb") as file, (building / SKIPPED).open("w", encoding="utf-8") as skips:
        writer = RecordWriter(file)
        seen, found = {}, {}
        for label, source in sources.items():
            start = len(writer.offsets) - 1
            some = seen[label] = _read(label, source, settings, writer, skips, watch)
            skipped = dict(some.skipped.most_common())
            found[label] = Found(some.found, skipped, start, len(writer.offsets) - 1)
    if len(writer.offsets) == 1:
        raise UserError(_nothing(list(found.values()), settings))
    write_offsets(building / f"{RECORDS}.npy", writer.offsets)
    np.savez(
        building / TABLE,
        ranks=_column(seen, "ranks", np.uint64),
        groups=_column(seen, "groups", np.uint64),
        strata=_column(seen, "strata", np.int64),
        training=_column(seen, "training", np.bool_),
        pointless=_column(seen, "pointless", np.bool_),
    )
    sources_ = {label: vars(source) for label, source in found.items()}
    head = {"version": VERSION, "settings": settings.model_dump(mode="json"), "sources": sources_}
    (building / HEAD).write_text(json.dumps(head, indent=1, ensure_ascii=False), encoding="utf-8")


def _column(seen: Mapping[str, _Seen], name: str, kind: type[np.generic]) -> NDArray[np.generic]:
    return np.concatenate([np.asarray(getattr(some, name)).astype(kind) for some in seen.values()])


def _read(
    label: str, source: Source, settings: PrepareSettings, writer: RecordWriter, skips: TextIO, watch: Watch
) -> _Seen:
    """One pass over a source: candidates go to the file, the others become a line of `skips`."""
    seen = _Seen()
    for item in source:
        if isinstance(item, Record) and settings.table is not None:
            item = described(item, settings.table)
        seen.found += 1
        if seen.found % 100 == 0:
            watch(label, seen.found)
        reason = item.reason if isinstance(item, Skipped) else _unusable(item, settings)
        if reason is not None or isinstance(item, Skipped):
            seen.skipped[reason or ""] += 1
            skips.write(line_of(label, item.key, reason or ""))
            continue
        _remember(seen, label, item, settings.seed)
        writer.write(item if item.source == label else replace(item, source=label))
    watch(label, seen.found)
    return seen


def line_of(source: str, key: str, reason: str) -> str:
    """A picture that was left out or failed, as a line of JSON."""
    return json.dumps({"source": source, "key": key, "reason": reason}, ensure_ascii=False) + "\n"


def _unusable(record: Record, settings: PrepareSettings) -> str | None:
    if record.split == "test":
        return "the source's test split"
    return rejection(record, settings)


def _remember(seen: _Seen, label: str, record: Record, seed: int) -> None:
    seen.ranks.append(rank(seed, label, record.key))
    group = next((record.attributes[name] for name in GROUPS if record.attributes.get(name)), record.key)
    seen.groups.append(rank(seed, label, "group", group))
    seen.strata.append(seen.kinds.setdefault(record.attributes.get("gesture", ""), len(seen.kinds)))
    seen.training.append(record.split == "train")
    seen.pointless.append(needs_points(record))


def _nothing(sources: Sequence[Found], settings: PrepareSettings) -> str:
    found = sum(source.found for source in sources)
    if not found:
        return f"no pictures found in {', '.join(o.path for o in settings.origins)}; check the paths"
    reasons: Counter[str] = Counter()
    for source in sources:
        reasons.update(source.skipped)
    return nothing_of_use(found, reasons)


def nothing_of_use(found: int, reasons: Counter[str]) -> str:
    """The most frequent reason and its remedy, for an error."""
    reason, count = reasons.most_common(1)[0]
    remedy = f"; {REMEDY[reason]}" if reason in REMEDY else ""
    return f"none of {found} pictures is of use; {count} of them: {reason}{remedy}"
