"""What a prepared data set is said to hold: prepare.json, and the same as a table for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from handfirst.engines.files import atomic_write_bytes
from handfirst.training.data.prepare.filters import REMEDY
from handfirst.training.data.prepare.plan import PARTS, Plan
from handfirst.training.data.prepare.shard import Tally, read_tally, total
from handfirst.training.data.prepare.sheet import draw_sheet

REPORT, SHEET = "prepare.json", "sheet.png"


def write_report(plan: Plan) -> dict[str, Any]:
    """Writes both files of a complete data set, if they are not there yet, and returns what prepare.json holds."""
    report = make_report(plan)
    text = json.dumps(report, indent=1, ensure_ascii=False).encode()
    if not (file := plan.out / REPORT).exists() or file.read_bytes() != text:
        atomic_write_bytes(file, text)
    if not (plan.out / SHEET).exists() and (sheet := draw_sheet(plan)) is not None:
        from handfirst.runtime.pictures import encode

        atomic_write_bytes(plan.out / SHEET, encode(sheet))
    return report


def make_report(plan: Plan) -> dict[str, Any]:
    """All counts of a complete data set, by part and source.

    "skipped" under "sources" counts pictures that were left out before the draw, "skipped" under a part those (and
    their crops) that gave no example. Which ones they are stands in plan/skipped.jsonl and in the shards' notes.
    """
    parts = {part: total(read_tally(plan, shard) for shard in plan.shards if shard.part == part) for part in PARTS}
    return {
        "settings": plan.settings.model_dump(mode="json"),
        "sources": {label: vars(source) for label, source in plan.sources.items()},
        **{part: _part(plan, tallies) for part, tallies in parts.items()},
        "remarks": _remarks(plan, parts["train"]),
    }


def table(report: Mapping[str, Any]) -> list[list[str]]:
    """A row per source: found, left out, drawn, rejected, and examples to train and to validate with."""
    rows = []
    for label, source in report["sources"].items():
        made = [report[part]["sources"].get(label, {"examples": 0, "skipped": {}}) for part in PARTS]
        drawn = sum(source["drawn"].values())
        skipped, rejected = sum(source["skipped"].values()), sum(sum(m["skipped"].values()) for m in made)
        rows.append([label, *(f"{n:,}" for n in (source["found"], skipped, drawn, rejected))])
        rows[-1] += [f"{m['examples']:,}" for m in made]
    return rows


HEADS = ("source", "pictures", "left out", "drawn", "rejected", "to train", "to validate")


def _part(plan: Plan, tallies: Mapping[str, Tally]) -> dict[str, Any]:
    examples = sum(tally.examples for tally in tallies.values())
    return {
        "examples": examples,
        "shares": {source: round(t.examples / examples, 4) if examples else 0.0 for source, t in tallies.items()},
        "sources": {source: tally.to_json() for source, tally in tallies.items()},
    }


def _remarks(plan: Plan, made: Mapping[str, Tally]) -> list[str]:
    """What whoever trains on it should know, a line each."""
    out = []
    for (label, source), origin in zip(plan.sources.items(), plan.settings.origins, strict=True):
        if origin.count is not None and source.drawn["train"] < origin.count:
            out.append(f"{label}: {origin.count:,} pictures were asked for, {source.drawn['train']:,} are of use")
        for reason, count in source.skipped.items():
            if reason in REMEDY:
                out.append(f"{label}: {count:,} pictures left out ({reason}); {REMEDY[reason]}")
        tally = made.get(label)
        if source.drawn["train"] and (tally is None or not tally.examples):
            out.append(f"{label}: not one example was made of {source.drawn['train']:,} pictures")
        if tally and (words := tally.kinds["caption"]["words"]):
            out.append(f"{label}: {words:,} captions say no more than the key points do; {REMEDY['no caption']}")
    return out
