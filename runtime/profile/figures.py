"""From jobs to figures: a line for every part of every stage, and what they add up to.

Times are of steady jobs unless they say otherwise. Knows nothing about how figures are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from handfirst.runtime.diffusion.sampler import STEP
from handfirst.runtime.profile.measure import Job
from handfirst.runtime.timing.totals import HOST, NO_STAGE, Part

LABELS = {STEP: "DDIM + blend", HOST: "host between"}
BETWEEN = "between stages"

CountFlops = Callable[[str, tuple[tuple[int, ...], ...]], int | None]
"""(role, shapes of its inputs) -> floating-point operations of one call, or None."""


@dataclass(frozen=True)
class PartFigures:
    """One part of one stage.

    Attributes:
        stage, part: names as recorded; `part` is an engine's role, "step" or "host".
        label: for people.
        calls: of one job.
        p50_ms, p95_ms: of one call.
        job_ms: of all calls of a job, mean over jobs: these add up to the mean wall time of a job.
        share: of the wall time, 0 to 1.
        first_ms: all calls of the very first job.
        images_per_second: what this part alone would reach; None where it took no time.
        bytes: of one job, tensors in and out of engines.
        flops: of one job; None where they are not counted.
        flops_per_second: achieved while it ran, by the GPU's own clock where it has one.
        of_peak: achieved, as a part of the machine's measured peak.
        device_ms: of one job, by the GPU's own events; None where no engine has any.
        sizes: shapes of an engine's first input, each once; none of host work.
    """

    stage: str
    part: str
    label: str
    calls: float
    p50_ms: float
    p95_ms: float
    job_ms: float
    share: float
    first_ms: float
    images_per_second: float | None
    bytes: float
    flops: float | None
    flops_per_second: float | None
    of_peak: float | None
    device_ms: float | None
    sizes: tuple[tuple[int, ...], ...] = ()

    def describe(self) -> dict[str, Any]:
        """As an entry of a JSON object: numbers with five digits."""
        told = {name: short(value) if isinstance(value, float) else value for name, value in asdict(self).items()}
        return told | {"sizes": [list(shape) for shape in self.sizes]}


def figures(
    first: Job, steady: Sequence[Job], count: CountFlops, peak: float, labels: Mapping[str, str] = MappingProxyType({})
) -> list[PartFigures]:
    """A line for every part in the order of a job, then one for what no part accounts for.

    Args:
        first: the very first job.
        steady: warm ones, at least one.
        count: floating-point operations of a call.
        peak: the machine's, in FLOP/s.
        labels: of the system's own parts, for people.
    """
    merged: dict[tuple[str, str], Part] = {}
    for job in steady:
        for part in job.parts:
            into = merged.setdefault((part.stage, part.name), Part(part.stage, part.name))
            into.spans += part.spans
            into.own += part.own
    beginning = {(part.stage, part.name): sum(part.own) for part in first.parts}
    wall = sum(job.wall for job in steady)
    names = {**LABELS, **labels}
    lines = [_line(part, beginning.get(key, 0), steady, wall, count, peak, names) for key, part in merged.items()]
    between = Part(NO_STAGE, BETWEEN, own=[job.between for job in steady])
    return [*lines, _line(between, first.between, steady, wall, count, peak, names)]


def _line(
    part: Part,
    first: int,
    jobs: Sequence[Job],
    wall: int,
    count: CountFlops,
    peak: float,
    labels: Mapping[str, str],
) -> PartFigures:
    spent, images = sum(part.own), sum(job.images for job in jobs)
    p50, p95 = np.percentile(part.own, (50, 95)) / 1e6
    flops = _flops(part, count)
    device = [span.device for span in part.spans if span.device is not None]
    busy = sum(device) if device and len(device) == len(part.spans) else spent
    speed = flops / (busy / 1e9) if flops is not None and busy > 0 else None
    return PartFigures(
        stage=part.stage,
        part=part.name,
        label=labels.get(part.name, part.name.replace("_", " ")),
        calls=len(part.own) / len(jobs),
        p50_ms=float(p50),
        p95_ms=float(p95),
        job_ms=spent / len(jobs) / 1e6,
        share=spent / wall,
        first_ms=first / 1e6,
        images_per_second=images / (spent / 1e9) if spent > 0 else None,
        bytes=part.bytes / len(jobs),
        flops=None if flops is None else flops / len(jobs),
        flops_per_second=speed,
        of_peak=None if speed is None else speed / peak,
        device_ms=sum(device) / len(jobs) / 1e6 if device else None,
        sizes=tuple(dict.fromkeys(span.shapes[0] for span in part.spans if span.shapes)),
    )


def _flops(part: Part, count: CountFlops) -> int | None:
    counted = [count(span.name, span.shapes) for span in part.spans if span.kind == "engine"]
    known = [each for each in counted if each is not None]
    return sum(known) if known and len(known) == len(counted) else None


def short(number: float) -> float:
    """Five digits: more would be noise."""
    return float(f"{number:.5g}")
