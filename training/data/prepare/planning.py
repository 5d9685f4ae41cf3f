"""Candidates and verdicts into a plan: the draw, and the drawn records in their final order.

That order is a seeded shuffle of all sources together, so that every shard is mixed as the whole is.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.training.data.prepare import plan as plans
from handfirst.training.data.prepare.draw import UNKNOWN, Drawn, Indices, draw, next_to_look_at
from handfirst.training.data.prepare.plan import PARTS, Part, Plan, SourceCounts, to_json
from handfirst.training.data.prepare.pool import RECORDS, SKIPPED, Pool, folder, line_of, nothing_of_use
from handfirst.training.data.prepare.record_file import RecordWriter, read_records, write_offsets
from handfirst.training.data.prepare.trial import Trial, found_points

FAILED_FILE = "failed.jsonl"


def missing(pool: Pool, known: NDArray[np.int8]) -> Indices:
    """The places of the candidates to look at next, of all sources; none: the draw is final."""
    return np.concatenate(
        [
            found.start + next_to_look_at(pool.of(label), known[found.places], origin.count, pool.settings.val)
            for (label, found), origin in zip(pool.sources.items(), pool.settings.origins, strict=True)
        ]
    )


def make_plan(pool: Pool, trial: Trial, known: NDArray[np.int8], reasons: Mapping[int, str]) -> Plan:
    """Writes OUT/plan, in one step; OUT/candidates can go then.

    Raises:
        UserError: not one candidate is of use; the most frequent reason is named.
    """
    drawn = {
        label: draw(pool.of(label), known[found.places], origin.count, pool.settings.val)
        for (label, found), origin in zip(pool.sources.items(), pool.settings.origins, strict=True)
    }
    sources = {label: _counts(pool, label, drawn[label], known, reasons) for label in pool.sources}
    places: dict[Part, Indices] = {
        part: np.concatenate([pool.sources[label].start + getattr(some, part) for label, some in drawn.items()])
        for part in PARTS
    }
    plan = Plan(pool.out, pool.settings, sources, int(sum(pool.pointless[p].sum() for p in places.values())))
    if not plan.shards:
        raise UserError(nothing_of_use(sum(s.found for s in sources.values()), _why(sources)))
    building = pool.out / ".plan.part"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        _write(building, plan, trial, places, reasons)
        (building / "plan.json").write_text(to_json(plan), encoding="utf-8")
        shutil.rmtree(plans.folder(pool.out), ignore_errors=True)
        building.rename(plans.folder(pool.out))
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return plan


def _counts(
    pool: Pool, label: str, drawn: Drawn, known: NDArray[np.int8], reasons: Mapping[int, str]
) -> SourceCounts:  # fmt: skip
    found = pool.sources[label]
    failed = Counter(reason for place, reason in reasons.items() if found.start <= place < found.stop)
    looked_at = int((known[found.places] != UNKNOWN).sum())
    counts = {"train": len(drawn.train), "val": len(drawn.val)}
    return SourceCounts(found.found, found.skipped, looked_at, dict(sorted(failed.items(), key=_frequent)), counts)


def _frequent(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _why(sources: Mapping[str, SourceCounts]) -> Counter[str]:
    total: Counter[str] = Counter()
    for source in sources.values():
        total.update(source.skipped)
        total.update(source.failed)
    return total


def _write(
    building: Path, plan: Plan, trial: Trial, places: Mapping[Part, Indices], reasons: Mapping[int, str]
) -> None:  # fmt: skip
    """The records of both parts, what was left out, and what failed."""
    pool = folder(plan.out)
    shutil.copyfile(pool / SKIPPED, building / SKIPPED)
    with (building / FAILED_FILE).open("w", encoding="utf-8") as file:
        failed = sorted(reasons)
        for place, record in zip(failed, read_records(pool, RECORDS, failed), strict=True):
            file.write(line_of(record.source, record.key, reasons[place]))
    found = _found_people(trial, np.concatenate(list(places.values()))) if plan.without_points else {}
    for number, (part, chosen) in enumerate(places.items()):
        order = np.random.default_rng((plan.settings.seed, number)).permutation(len(chosen))
        with (building / f"{part}.bin").open("wb") as file:
            writer = RecordWriter(file)
            shuffled = chosen[order].tolist()
            for place, record in zip(shuffled, read_records(pool, RECORDS, shuffled), strict=True):
                writer.write(replace(record, people=found[place]) if place in found else record)
        write_offsets(building / f"{part}.npy", writer.offsets)


def _found_people(trial: Trial, drawn: Indices) -> dict[int, NDArray[np.float32]]:
    """The key points [1, 133, 3] that were found for drawn pictures, by place."""
    wanted = set(drawn.tolist())
    return {
        place: people
        for block in trial.blocks()
        for place, people in found_points(trial, block).items()
        if place in wanted and len(people)
    }
