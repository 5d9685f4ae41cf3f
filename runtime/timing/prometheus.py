"""Spans as metrics that Prometheus scrapes: seconds and bytes of every part of every stage, as they happen.

`prometheus_client` (extra "prometheus") counts and serves; it is imported when metrics are first wanted. Knows nothing
about requests or queues: who has such figures adds them to `registry`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from handfirst.engines.errors import UserError
from handfirst.runtime.timing.spans import Span
from handfirst.runtime.timing.totals import parts

BUCKETS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Seconds; a part takes from a tenth of a millisecond to some seconds."""


MOST_WAITING = 10_000
"""Spans of a thread that wait for their stage; one that only draws previews never ends a stage."""


class Metrics:
    """A Recorder that may listen to many threads.

    Attributes:
        registry: prometheus_client's; whatever else is to be served may be registered in it.

    Raises:
        UserError: prometheus_client is not installed.
    """

    def __init__(self) -> None:
        library = _library()
        self.registry: Any = library.CollectorRegistry()
        labels = ("stage", "part")
        self._seconds: Any = library.Histogram(
            "handfirst_part_seconds",
            "Time that one call of a part took by itself.",
            labels,
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._bytes: Any = library.Counter(
            "handfirst_part_bytes", "Tensors into and out of engines.", labels, registry=self.registry
        )
        self._open: dict[int, list[Span]] = {}
        self._lock = threading.Lock()

    def add(self, span: Span) -> None:
        """See Recorder. Spans are counted when their stage ends, as only then it is known what it did by itself."""
        with self._lock:
            waiting = self._open.setdefault(span.thread, [])
            waiting.append(span)
            if span.kind != "stage" and len(waiting) < MOST_WAITING:
                return
            del self._open[span.thread]
        for part in parts(waiting):
            seconds, counter = self._seconds.labels(part.stage, part.name), self._bytes.labels(part.stage, part.name)
            for own in part.own:
                seconds.observe(own / 1e9)
            counter.inc(part.bytes)

    def text(self) -> str:
        """What a scrape gets, in Prometheus' text format."""
        return str(_library().generate_latest(self.registry).decode())

    @contextmanager
    def served(self, port: int, address: str = "127.0.0.1") -> Iterator[int]:
        """Answers on http://address:port/metrics during the block, from a thread; yields the port (0 picks a free one).

        Raises:
            UserError: the port is taken, or not for this user.
        """
        try:
            server, thread = _library().start_http_server(port, address, self.registry)
        except OSError as error:
            raise UserError(
                f"cannot serve metrics on {address}:{port}: {error.strerror}; choose another port"
            ) from error
        try:
            yield int(server.server_port)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def with_process(metrics: Metrics) -> Metrics:
    """The same, which tells of this process as well: memory, processor time, open files (on Linux)."""
    _library().ProcessCollector(registry=metrics.registry)
    return metrics


def _library() -> Any:
    try:
        import prometheus_client
    except ImportError as error:
        raise UserError("metrics need prometheus_client; run: pip install 'handfirst[prometheus]'") from error
    return prometheus_client
