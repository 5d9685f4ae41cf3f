"""What a batch costs: throughput by batch size, stages that overlap, and Ray against the single process.

    pip install -e '.[cpu,ray]'
    python benchmarks/batch.py                 # -> benchmarks/results/batch.json; minutes on two cores
    python benchmarks/batch.py --jobs 4 --rounds 1 --out quick.json

All of it is the embedded model on CPUs, one engine thread per worker. Every figure is the median of interleaved rounds;
on a machine that others use, the ratios hold and the seconds do not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from batch_kills import demo_jobs

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.batch.groups import group_jobs
from handfirst.runtime.batch.on_ray import OnRay, Opening
from handfirst.runtime.batch.read_jobs import read_jobs
from handfirst.runtime.batch.results import open_results
from handfirst.runtime.batch.run import Here, Renderer, pending, run
from handfirst.runtime.systems.two_stage.job import JOBS
from handfirst.runtime.systems.two_stage.seam import together
from handfirst.runtime.systems.two_stage.settings import read_settings
from handfirst.runtime.systems.two_stage.system import TwoStage

RESULT = Path(__file__).parent / "results" / "batch.json"
SETTINGS = read_settings(Bundle.open(demo_bundle_path()).manifest)
SIZES = (1, 2, 4, 8)


def main() -> None:
    """Measures and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=24, help="per measurement")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the single process")
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    report: dict[str, Any] = {
        "what": f"the embedded model on the CPU, {options.jobs} jobs of {options.steps} steps, medians of "
        f"{options.rounds} interleaved rounds",
        "cores": os.cpu_count(),
        "local": measure_local(options.jobs, options.steps, options.rounds, options.threads),
    }
    if not options.no_ray:
        report["ray"] = measure_ray(options.jobs, options.steps, options.rounds)
    report["load_average"] = {"before": round(load, 2), "after": round(os.getloadavg()[0], 2)}
    atomic_write_bytes(options.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report, indent=1))


def measure_local(jobs: int, steps: int, rounds: int, threads: int) -> dict[str, Any]:
    """Seconds per job in this process, by batch size, with and without overlap."""
    system = TwoStage.open(None, "cpu", threads)
    ways: dict[str, Callable[[], float]] = {}
    for size in SIZES:
        for overlap in (False, True):
            renderer = Here(system, "png", overlap)
            ways[f"{size}{'+' if overlap else ''}"] = partial(paint, renderer, jobs, steps, size)
    paint(Here(system, "png", False), 2, 1, 2)  # the first run of a session is slower
    seconds = medians(interleaved(ways, rounds), jobs)
    return {
        "threads": threads,
        "seconds_per_job": {
            str(size): {"apart": seconds[str(size)], "overlapping": seconds[f"{size}+"]} for size in SIZES
        },
        "overlap_saves": {str(size): round(1 - seconds[f"{size}+"] / seconds[str(size)], 3) for size in SIZES},
    }


def measure_ray(jobs: int, steps: int, rounds: int, size: int = 2) -> dict[str, Any]:
    """The single process, one worker, two workers, an engine thread each; and jobs of one step, to see the overhead."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    config = {"worker_niceness": 0}  # as eager as the single process
    ray.init(num_cpus=3, include_dashboard=False, logging_level="ERROR", log_to_driver=False, _system_config=config)
    opening = Opening(None, Bundle.open(demo_bundle_path()).digest, "cpu", 1)
    here = Here(opening.open(), "png", False)
    with OnRay("auto", opening, "png", 1) as one, OnRay("auto", opening, "png", 2) as two:
        for crew in (one, two):
            while crew.waiting < crew.workers:
                paint(crew, 2, 1, 1)
        ways: dict[str, Callable[[], float]] = {
            "single process": lambda: paint(here, jobs, steps, size),
            "1 worker": lambda: paint(one, jobs, steps, size),
            "2 workers": lambda: paint(two, jobs, steps, size),
            "single process, 1 step": lambda: paint(here, jobs, 1, 1),
            "1 worker, 1 step": lambda: paint(one, jobs, 1, 1),
        }
        seconds = medians(interleaved(ways, rounds), jobs)
    ray.shutdown()
    return {
        "batch_size": size,
        "seconds_per_job": seconds,
        "overhead_seconds_per_job": {
            "alone": round(seconds["1 worker, 1 step"] - seconds["single process, 1 step"], 4),
            f"in groups of {size}": round(seconds["1 worker"] - seconds["single process"], 4),
        },
        "times_faster_with_2_workers": round(seconds["1 worker"] / seconds["2 workers"], 2),
    }


def paint(renderer: Renderer, jobs: int, steps: int, size: int) -> float:
    """Seconds of a whole batch in an empty folder, the ledger's writes included."""
    with tempfile.TemporaryDirectory(prefix="handfirst-batch-") as place:
        listed = Path(place) / "jobs.jsonl"
        # All with both hands, so that every measurement has the same groups.
        listed.write_text("".join(json.dumps(job) + "\n" for job in demo_jobs(3 * jobs, steps)[::3]))
        with open_results(Path(place) / "out", {"model": "demo", "format": "png"}) as ledger:
            start = time.perf_counter()
            todo = pending(read_jobs(JOBS, listed), ledger)
            groups = group_jobs(todo, partial(together, settings=SETTINGS), size)
            for _ in run(todo, groups, ledger, lambda: renderer, "png"):
                pass
            return time.perf_counter() - start


def interleaved(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Every way once, then every way again, ...: what else the machine does falls on all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(way())
    return seconds


def medians(seconds: dict[str, list[float]], jobs: int) -> dict[str, float]:
    """Per job."""
    return {name: round(statistics.median(each) / jobs, 4) for name, each in seconds.items()}


if __name__ == "__main__":
    main()
