"""Jobs, one after the other, with a recorder: the first, warm ones, and ever larger batches until nothing is gained.

And what the recording itself costs, worked out from what one span of each kind takes: free of the noise of whole jobs.
Knows nothing about what is in a job but that its spans can be heard.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from handfirst.engines.engine import Array
from handfirst.engines.errors import EngineError, one_line
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.runtime.profile.memory import forget_peak, gpu_bytes, peak_bytes
from handfirst.runtime.system import Request, System
from handfirst.runtime.timing.spans import Clock, Kind, Recording, Span, recorded, recording, span
from handfirst.runtime.timing.totals import Part, parts

GROWTH = 1.05
"""A batch twice as large that is not this many times as fast, picture by picture, ends the curve."""

RUNS_OF_A_BATCH = 3

CALLS_OF_A_ROUND, ROUNDS = 200, 5
"""How often an empty span is timed."""


@dataclass(frozen=True)
class Job:
    """One call that painted `images` pictures together.

    Attributes:
        start: nanoseconds of `time.perf_counter_ns`.
        wall: nanoseconds from the call to its result, by a clock of its own outside of all spans.
        spans: everything that was recorded meanwhile.
    """

    images: int
    start: int
    wall: int
    spans: tuple[Span, ...]

    @property
    def parts(self) -> list[Part]:
        """Of this job."""
        return parts(self.spans)

    @property
    def between(self) -> int:
        """Nanoseconds of the wall time that no part accounts for."""
        return self.wall - sum(sum(part.own) for part in self.parts)


@dataclass(frozen=True)
class Batch:
    """One point of the curve: medians over some jobs of equal size.

    Attributes:
        images: pictures at once.
        seconds: of a job; None where it did not run.
        memory_bytes: the most that the process held meanwhile; None where the system does not count anew.
        gpu_bytes: what the GPU's memory held afterwards; None without one.
        refused: why it did not run.
    """

    images: int
    seconds: float | None
    memory_bytes: int | None = None
    gpu_bytes: int | None = None
    refused: str | None = None

    @property
    def images_per_second(self) -> float:
        """0 where it did not run."""
        return self.images / self.seconds if self.seconds else 0.0


def run_job(system: System, requests: Sequence[Request]) -> Job:
    """Paints the requests together and keeps every span."""
    with recording(Recording()) as heard:
        start = time.perf_counter_ns()
        system.render_batch(requests)
        wall = time.perf_counter_ns() - start
    return Job(len(requests), start, wall, heard.spans)


def numbered(request: Request, first: int, count: int = 1) -> list[Request]:
    """The request `count` times, each with a seed and words of its own."""
    return [request.varied(i) for i in range(first, first + count)]


def run_jobs(system: System, request: Request, count: int, first: int = 0) -> Iterator[Job]:
    """One picture each."""
    for i in range(first, first + count):
        yield run_job(system, numbered(request, i))


def grow_batches(
    system: System, request: Request, limit: int, engine: str, forget: Callable[[], bool] = forget_peak
) -> Iterator[Batch]:
    """1, 2, 4, ... pictures at once, as long as throughput grows; the last one did not make it grow, or did not run.

    Args:
        limit: the most pictures at once.
        engine: its name, for the GPU's memory.
        forget: starts the high-water mark of the memory anew.
    """
    best, images = 0.0, 1
    while images <= limit:
        made = _batch(system, request, images, engine, forget)
        yield made
        if made.images_per_second < best * GROWTH:
            return
        best, images = made.images_per_second, 2 * images


def _batch(system: System, request: Request, images: int, engine: str, forget: Callable[[], bool]) -> Batch:
    counts = forget()
    try:
        jobs = [run_job(system, numbered(request, i * images, images)) for i in range(RUNS_OF_A_BATCH + 1)]
    except (EngineError, MemoryError) as error:
        if images == 1:
            raise
        return Batch(images, None, refused=one_line(error) or "not enough memory")
    seconds = statistics.median(job.wall for job in jobs[1:]) / 1e9
    return Batch(images, seconds, peak_bytes() if counts else None, gpu_bytes(engine))


def recorder_share(jobs: Sequence[Job], tensors: int = 20) -> float:
    """The part of the jobs' wall time that went into recording, 0 to 1.

    Args:
        tensors: inputs of the engine whose recording is timed; few engines have as many.
    """
    cost = span_cost(tensors)
    spent = sum(cost[each.kind] for job in jobs for each in job.spans)
    return spent / sum(job.wall for job in jobs)


def span_cost(tensors: int = 20) -> dict[Kind, float]:
    """Nanoseconds that a span of each kind takes more with a listener than without."""
    engine, clock = recorded(_Nothing(tensors)), Clock("x")
    inputs = {tensor.name: np.empty(1, np.float32) for tensor in engine.spec.inputs}

    def host() -> None:
        with span("x"):
            pass

    def stage() -> None:
        with clock("x"):
            pass

    return {"engine": _extra(lambda: engine.run(inputs)), "host": _extra(host), "stage": _extra(stage)}


def _extra(act: Callable[[], object]) -> float:
    plain = _fastest(act)
    with recording(Recording()):
        return max(0.0, _fastest(act) - plain)


def _fastest(act: Callable[[], object]) -> float:
    """Nanoseconds of a call: the best of some rounds, as whatever else the machine does only adds to it."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        for _ in range(CALLS_OF_A_ROUND):
            act()
        rounds.append((time.perf_counter_ns() - start) / CALLS_OF_A_ROUND)
    return min(rounds)


class _Nothing:
    """An engine that does no work."""

    name = "nothing"

    def __init__(self, tensors: int) -> None:
        inputs = tuple(TensorSpec(name=f"x{i}", dtype="float32", shape=(1,)) for i in range(tensors))
        self.spec = EngineSpec(inputs=inputs, outputs=inputs[:1])

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        return {"x0": inputs["x0"]}

    def close(self) -> None:
        """Has nothing to free."""
