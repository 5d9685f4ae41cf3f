"""A profile as lines of a table, for terminals and for the report. Knows nothing about either."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import floor, log10

import numpy as np

from handfirst.runtime.profile.figures import PartFigures
from handfirst.runtime.profile.profile import Profile

HEADS = ("stage", "part", "calls", "p50 ms", "p95 ms", "ms / job", "share", "GPU ms", "first ms", "images/s", "MB",
         "GFLOP/s", "peak")  # fmt: skip
LEFT = 2
"""Columns of words; numbers follow."""

NARROW = (0, 1, 2, 5, 6, 11, 12)
"""Those that a narrow terminal shows."""


def table(parts: Sequence[PartFigures], columns: Sequence[int] = range(len(HEADS))) -> list[tuple[str, ...]]:
    """The heads, then a row for every part; columns that would be empty are left out."""
    everything = [HEADS, *rows(parts)]
    used = [i for i in columns if any(row[i] for row in everything[1:])]
    return [tuple(row[i] for i in used) for row in everything]


def rows(parts: Sequence[PartFigures]) -> list[tuple[str, ...]]:
    """A row for every part; a stage is named once."""
    made, before = [], ""
    for part in parts:
        made.append((part.stage if part.stage != before else "", part.label, *_numbers(part)))
        before = part.stage
    return made


def _numbers(part: PartFigures) -> tuple[str, ...]:
    return (
        f"{part.calls:g}",
        number(part.p50_ms),
        number(part.p95_ms),
        number(part.job_ms),
        percent(part.share),
        "" if part.device_ms is None else number(part.device_ms),
        number(part.first_ms),
        "" if part.images_per_second is None else number(part.images_per_second),
        number(part.bytes / 1e6) if part.bytes else "",
        "" if part.flops_per_second is None else number(part.flops_per_second / 1e9),
        "" if part.of_peak is None else percent(part.of_peak),
    )


def percent(share: float) -> str:
    """0.1234 -> "12.3 %"."""
    return f"{100 * share:.1f} %"


def remarks(profile: Profile) -> list[str]:
    """What the table does not say, a line each."""
    memory = ", ".join(
        f"{name.removesuffix('_bytes').replace('_', ' ')} {megabytes(value)}"
        for name, value in profile.memory.items()
        if value is not None
    )
    p50, p95 = np.percentile(profile.wall_ms, (50, 95))
    lines = [
        f"a job takes {number(float(p50))} ms (p95 {number(float(p95))}, the first {number(profile.first_ms)}): "
        f"{number(profile.images_per_second)} images/s one at a time",
        f"the parts add up to {percent(profile.covered)} of the wall time; "
        f"recording took {100 * profile.recorder_share:.2g} % of it",
        f"peak {number(profile.peak.flops_per_second / 1e9)} GFLOP/s: {profile.peak.how}",
        f"memory: {memory or 'not told by this system'}",
    ]
    load, cores = profile.machine["load"], profile.machine["cores"]
    if load is not None and load > cores / 2:
        lines.append(f"the machine was busy (load {load:.1f} on {cores} cores): times are too long by what others took")
    if profile.batches:
        points = (f"{b.images}: {number(b.images_per_second) if b.seconds else 'refused'}" for b in profile.batches)
        lines.append(f"images/s by pictures at once: {', '.join(points)}")
    return lines + [f"operations are not counted for {who}: {why}" for why, who in _by_reason(profile.uncounted)]


def _by_reason(uncounted: Mapping[str, str]) -> list[tuple[str, str]]:
    """(why, the roles it is true of), a line's worth each."""
    roles = defaultdict(list)
    for role, why in uncounted.items():
        roles[why].append(role.replace("_", " "))
    return [(why, ", ".join(names)) for why, names in roles.items()]


def megabytes(size: float) -> str:
    """Decimal ones."""
    return f"{number(size / 1e6)} MB"


def number(value: float) -> str:
    """Three digits, no exponent: 0.0123, 1.23, 123, 12300."""
    if value == 0:
        return "0"
    decimals = max(0, 2 - floor(log10(abs(value))))
    return f"{value:,.{decimals}f}" if decimals < 6 else f"{value:.1e}"
