"""What Prometheus scrapes: this process's jobs and answers, and all that the processes which paint have counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import prometheus_client
from prometheus_client.core import Metric

from handfirst.runtime.http.crew import Crew
from handfirst.runtime.http.desk import Desk
from handfirst.runtime.http.job import Job

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class ServerMetrics:
    """Counts for one server.

    Args:
        desk: whose jobs are counted.
    """

    def __init__(self, desk: Desk) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self._registry)
        waiting = self._gauge("handfirst_jobs_waiting", "Jobs that nobody has begun.")
        waiting.set_function(lambda: desk.waiting)
        running = self._gauge("handfirst_jobs_running", "Jobs that somebody has begun.")
        running.set_function(lambda: desk.running)
        self._gauge("handfirst_results_bytes", "Results that are kept.").set_function(lambda: desk.kept)
        self.streams = self._gauge("handfirst_streams", "Readers of events.")
        self._ends = prometheus_client.Counter(
            "handfirst_jobs", "Jobs that have ended.", ("bundle", "end"), registry=self._registry
        )
        self._seconds = prometheus_client.Histogram(
            "handfirst_job_seconds", "Time of a job.", ("bundle", "part"), buckets=SECONDS, registry=self._registry
        )
        self.answers = prometheus_client.Counter(
            "handfirst_http_answers", "Answers.", ("status",), registry=self._registry
        )
        desk.on_end = self._ended

    def _gauge(self, name: str, said: str) -> Any:
        return prometheus_client.Gauge(name, said, registry=self._registry)

    def _ended(self, job: Job) -> None:
        self._ends.labels(job.bundle, job.state).inc()
        for part, seconds in job.seconds.items():
            self._seconds.labels(job.bundle, part).observe(seconds)

    async def text(self, crew: Crew) -> bytes:
        """What a scrape gets. Samples of processes that paint have a label more, "worker"."""
        workers = [_single("handfirst_workers_ready", "Processes that can paint.", "gauge", crew.ready)]
        workers.append(_single("handfirst_worker_deaths", "Processes that were replaced.", "counter", crew.deaths))
        gathered = _Gathered([*self._registry.collect(), *workers], await crew.samples())
        return bytes(prometheus_client.generate_latest(gathered))


class _Gathered:
    """A registry of what was collected elsewhere; equal names become one family."""

    def __init__(self, own: Sequence[Metric], others: Sequence[tuple[int, Sequence[Metric]]]) -> None:
        self._families = {metric.name: _copy(metric, metric.samples) for metric in own}
        for number, metrics in others:
            for metric in metrics:
                family = self._families.setdefault(metric.name, _copy(metric, []))
                family.samples += [
                    sample._replace(labels={**sample.labels, "worker": str(number)}) for sample in metric.samples
                ]

    def collect(self) -> Iterator[Metric]:
        """See CollectorRegistry."""
        yield from self._families.values()


def _copy(metric: Metric, samples: Sequence[Any]) -> Metric:
    made = Metric(metric.name, metric.documentation, metric.type, metric.unit)
    made.samples = list(samples)
    return made


def _single(name: str, said: str, kind: str, value: float) -> Metric:
    made = Metric(name, said, kind)
    made.add_sample(f"{name}_total" if kind == "counter" else name, {}, value)
    return made
