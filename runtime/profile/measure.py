"""Jobs, one after the other, with a recorder: the first, warm ones, and ever larger batches until nothing is gained.

Knows nothing about what is in a job but that its spans can be heard.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from handfirst.engines.errors import EngineError
from handfirst.runtime.profile.memory import forget_peak, gpu_bytes, peak_bytes
from handfirst.runtime.system import Request, System
from handfirst.runtime.timing.spans import Recording, Span, recording
from handfirst.runtime.timing.totals import Part, parts

GROWTH = 1.05
"""A batch twice as large that is not this many times as fast, picture by picture, ends the curve."""

RUNS_OF_A_BATCH = 3


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
        return Batch(images, None, refused=" ".join(str(error).split()) or "not enough memory")
    seconds = statistics.median(job.wall for job in jobs[1:]) / 1e9
    return Batch(images, seconds, peak_bytes() if counts else None, gpu_bytes(engine))
