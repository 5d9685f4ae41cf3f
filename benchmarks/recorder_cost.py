"""What a recorder costs: the embedded model with a listener and without, in turn, and what one span takes.

    python benchmarks/recorder_cost.py          # -> benchmarks/results/recorder-cost.json; about two minutes

Two ways to the same figure. Whole jobs in the order A B B A, as the median of paired ratios of processor time, which
other programs disturb less than wall time; and spans times nanoseconds per span, which nothing disturbs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import handfirst
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.profile.machine import machine
from handfirst.runtime.profile.measure import recorder_share, run_job, span_cost
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose
from handfirst.runtime.timing.spans import Recording, recording

RESULT = Path(__file__).parent / "results" / "recorder-cost.json"


def main() -> None:
    """Measures and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    model = handfirst.open(threads=1)
    request = handfirst.Request(pose=demo_pose(), prompt=PROMPT, steps=options.steps)
    model.render(request)
    ratios: dict[str, list[float]] = {"processor": [], "wall": []}
    for i in range(options.pairs):
        order = (False, True) if i % 2 == 0 else (True, False)
        found = {listened: _seconds(model, request, listened) for listened in order}
        for name in ratios:
            ratios[name].append(found[True][name] / found[False][name])
    job = run_job(model, [request])
    report = {
        "what": "cost of a recorder on the embedded model, one thread",
        "steps": options.steps,
        "paired_ratio_minus_one": {name: _spread(values) for name, values in ratios.items()},
        "spans": len(job.spans),
        "nanoseconds_per_span": {kind: round(cost) for kind, cost in span_cost().items()},
        "share_by_counting": float(f"{recorder_share([job]):.2g}"),
        "machine": machine(),
    }
    atomic_write_bytes(options.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report, indent=1))


def _seconds(model: Any, request: handfirst.Request, listened: bool) -> dict[str, float]:
    wall, processor = time.perf_counter(), time.process_time()
    if listened:
        with recording(Recording()):
            model.render(request)
    else:
        model.render(request)
    return {"processor": time.process_time() - processor, "wall": time.perf_counter() - wall}


def _spread(values: list[float]) -> dict[str, Any]:
    low, _, high = statistics.quantiles(values, n=4)
    return {"median": round(statistics.median(values) - 1, 4), "quartiles": [round(low - 1, 4), round(high - 1, 4)]}


if __name__ == "__main__":
    main()
