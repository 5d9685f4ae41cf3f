"""The jobs as a Chrome trace, which Perfetto (ui.perfetto.dev) and chrome://tracing show as a flame chart.

The "JSON object format" of Google's "Trace Event Format": complete events ("X") with microseconds since the first job.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from handfirst.runtime.profile.figures import LABELS
from handfirst.runtime.profile.measure import Job


def chrome_trace(jobs: Sequence[Job], about: dict[str, Any]) -> dict[str, Any]:
    """One row per thread, jobs at the top, the spans in them below.

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
