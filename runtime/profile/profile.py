"""All that `handfirst profile` finds out, in the order in which it does: warm-up, jobs, peak, batches.

And what was found as JSON: one object of figures, or a Chrome trace of every span.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from handfirst.engines.choice import Choice
from handfirst.runtime.profile.figures import LABELS, PartFigures, figures, short
from handfirst.runtime.profile.flops import FlopCounts
from handfirst.runtime.profile.machine import machine
from handfirst.runtime.profile.measure import Batch, Job, grow_batches, recorder_share, run_jobs
from handfirst.runtime.profile.memory import gpu_bytes, peak_bytes
from handfirst.runtime.profile.peak import Peak, measure_peak
from handfirst.runtime.system import Request, Resident, System
from handfirst.runtime.systems import module_of


@dataclass(frozen=True)
class Plan:
    """How much is measured: untimed jobs, timed ones, the largest batch (0: no curve), CPU threads; and whose networks
    are in memory."""

    warmup: int
    jobs: int
    batch_limit: int
    threads: int | None = None
    resident: Resident = "all"


@dataclass(frozen=True, eq=False)
class Profile:
    """What was found; see `describe` for the meaning of each."""

    bundle: tuple[str, str]
    engine: Choice
    asked: dict[str, Any]
    machine: dict[str, Any]
    cold: tuple[Job, ...]
    steady: tuple[Job, ...]
    parts: tuple[PartFigures, ...]
    uncounted: dict[str, str]
    peak: Peak
    memory: dict[str, int | None]
    batches: tuple[Batch, ...]
    recorder_share: float

    @property
    def wall_ms(self) -> list[float]:
        """Of every steady job."""
        return [job.wall / 1e6 for job in self.steady]

    @property
    def first_ms(self) -> float:
        """Wall time of the very first job."""
        return self.cold[0].wall / 1e6

    @property
    def covered(self) -> float:
        """The part of the steady jobs' wall time that the parts add up to."""
        return 1 - sum(job.between for job in self.steady) / sum(job.wall for job in self.steady)

    @property
    def images_per_second(self) -> float:
        """One picture at a time."""
        return 1e3 / float(np.mean(self.wall_ms))

    def about(self) -> dict[str, Any]:
        """What was measured, and on what: the stamp."""
        name, digest = self.bundle
        return {
            "bundle": {"name": name, "digest": digest},
            "engine": {"name": self.engine.engine, "reason": self.engine.reason},
            "request": self.asked,
            "machine": self.machine,
        }

    def describe(self) -> dict[str, Any]:
        """The JSON object. Times in milliseconds, memory in bytes."""
        p50, p95 = np.percentile(self.wall_ms, (50, 95))
        wall = {"first": self.first_ms, "mean": np.mean(self.wall_ms), "p50": p50, "p95": p95}
        return {
            **self.about(),
            "warmup": len(self.cold),
            "jobs": len(self.steady),
            "wall_ms": {name: short(float(value)) for name, value in wall.items()},
            "images_per_second": short(self.images_per_second),
            "parts_cover": short(self.covered),
            "parts": [part.describe() for part in self.parts],
            "flops_not_counted": self.uncounted,
            "peak": {"flops_per_second": short(self.peak.flops_per_second), "how": self.peak.how},
            "memory": self.memory,
            "batches": [
                asdict(batch) | {"images_per_second": short(batch.images_per_second)} for batch in self.batches
            ],
            "recorder": {
                "spans_per_job": sum(len(job.spans) for job in self.steady) / len(self.steady),
                "share": float(f"{self.recorder_share:.2g}"),
            },
        }


def measure(system: System, request: Request, plan: Plan, update: Callable[[str, int, int | None], None]) -> Profile:
    """Runs everything.

    Args:
        request: what is painted; seeds and prompts are varied.
        update: told what is going on: (name, done, of how many).

    Raises:
        UserError: the system cannot paint the request, or its engine cannot be opened once more for the peak.
    """
    bundle, engine, stamp = system.bundle, system.engine.engine, machine()
    told, heaviest = module_of(bundle.manifest), max(bundle.manifest.engines, key=bundle.size)

    def followed(name: str, count: int, first: int) -> tuple[Job, ...]:
        done: list[Job] = []
        update(name, 0, count)
        for job in run_jobs(system, request, count, first):
            done.append(job)
            update(name, len(done), count)
        return tuple(done)

    cold = followed("warm-up", plan.warmup, 0)
    steady = followed("jobs", plan.jobs, plan.warmup)
    memory = {"process_peak_bytes": peak_bytes(), "gpu_bytes": gpu_bytes(engine)}
    update("peak", 0, 1)
    peak = measure_peak(engine, bundle.manifest.engines[heaviest].precision, plan.threads)
    update("peak", 1, 1)
    batches: list[Batch] = []
    if plan.batch_limit:
        update("batches", 0, None)
        for batch in grow_batches(system, request, plan.batch_limit, engine):
            batches.append(batch)
            update("batches", len(batches), None)
        update("batches", len(batches), len(batches))
    flops = FlopCounts(bundle.manifest.engines)
    return Profile(
        bundle=(bundle.manifest.name, bundle.digest),
        engine=system.engine,
        asked=told.work(request, system.settings) | {"resident": plan.resident},
        machine=stamp,
        cold=cold,
        steady=steady,
        parts=tuple(figures(cold[0], steady, flops.count, peak.flops_per_second, told.LABELS)),
        uncounted=flops.unknown,
        peak=peak,
        memory=memory,
        batches=tuple(batches),
        recorder_share=recorder_share(steady),
    )


def most(batches: Sequence[Batch]) -> Batch | None:
    """The fastest of them."""
    return max(batches, key=lambda batch: batch.images_per_second, default=None)


def chrome_trace(jobs: Sequence[Job], about: dict[str, Any]) -> dict[str, Any]:
    """The jobs for Perfetto (ui.perfetto.dev) and chrome://tracing: one row per thread, jobs above their spans.

    The "JSON object format" of Google's "Trace Event Format": complete events ("X"), microseconds since the first job.

    Args:
        jobs: at least one.
        about: kept in the file under "otherData": the machine's stamp and the bundle.
    """
    process, zero = os.getpid(), min(job.start for job in jobs)

    def event(
        name: str, kind: str, start: int, duration: int, thread: int, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        times = {"ts": (start - zero) / 1e3, "dur": duration / 1e3}
        return {"name": name, "cat": kind, "ph": "X", **times, "pid": process, "tid": thread, "args": arguments}

    events = []
    for number, job in enumerate(jobs):
        main = job.spans[0].thread if job.spans else 0
        events.append(event(f"job {number}", "job", job.start, job.wall, main, {"images": job.images}))
        for span in job.spans:
            arguments: dict[str, Any] = {}
            if span.kind == "engine":
                arguments = {"bytes": span.bytes, "shapes": [list(shape) for shape in span.shapes]}
            if span.device is not None:
                arguments["device_us"] = span.device / 1e3
            name = span.name if span.kind == "stage" else LABELS.get(span.name, span.name)
            events.append(event(name, span.kind, span.start, span.duration, span.thread, arguments))
    events.sort(key=lambda each: (each["ts"], -each["dur"]))
    named = {"name": "process_name", "ph": "M", "pid": process, "tid": 0, "args": {"name": "handfirst"}}
    return {"traceEvents": [named, *events], "displayTimeUnit": "ms", "otherData": about}
