"""What a server costs beside the library, what its processes take, and whether its OpenAPI document is true.

    python benchmarks/serve_cost.py overhead      # the demo's picture through HTTP and without, taking turns
    python benchmarks/serve_cost.py workers       # processes and threads: throughput, memory of each
    python benchmarks/serve_cost.py fuzz          # schemathesis (in an environment of its own) over the document

Each writes a section of results/serve.json. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import embedding_results
import httpx
from serve_process import FILE, POSE, served

import handfirst
from handfirst.runtime.metadata import packet
from handfirst.runtime.pictures import encode
from handfirst.runtime.systems.two_stage import seam
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose

FUZZED = {"steps": 40, "waiting": 4, "keep_seconds": 60}
"""Limits of the server that the fuzz asks: 30 steps, the model's own, are allowed, 200 are not; few wait."""
PICTURES = 16
"""Of each row of workers."""


def main() -> int:
    """Measures one part; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("overhead", "workers", "fuzz"))
    parser.add_argument("--rounds", type=int, default=15, help="of overhead")
    parser.add_argument("--steps", type=int, default=4, help="per stage, of the pictures of workers")
    parser.add_argument("--schemathesis", default="schemathesis", help="its program")
    options = parser.parse_args()
    if options.part == "overhead":
        report = overhead(options.rounds)
    elif options.part == "workers":
        report = workers(options.steps)
    else:
        report = fuzz(options.schemathesis)
    embedding_results.add(options.part, report, FILE)
    return 0 if report.get("right", True) else 1


def overhead(rounds: int) -> dict[str, Any]:
    """The demo's picture, of as many steps as the model has by default: through HTTP and without, taking turns.

    Either way ends with the bytes of PNGs: of the picture alone, or of all that a result holds. On the clock, and in
    seconds of the processors, of all processes that take part, which a machine that is shared does not stretch.
    """
    model = handfirst.open(engine="cpu", threads=1)
    request = handfirst.Request(pose=demo_pose(), prompt=PROMPT)
    ways = [(by, what) for what in ("result", "all") for by in ("library", "http")]
    clock: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    work: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    with served("--threads", "1") as server, httpx.Client(base_url=server.url, timeout=300) as http:
        for number in range(rounds + 1):
            for by, what in ways if number % 2 else reversed(ways):
                began, spent = time.perf_counter(), server.cpu() + time.process_time()
                if by == "library":
                    _paint(model, request, what)
                else:
                    _paint_remotely(http, what)
                if number:
                    clock[by, what].append(time.perf_counter() - began)
                    work[by, what].append(server.cpu() + time.process_time() - spent)
    return {"rounds": rounds, "steps": "default", **{what: _compared(clock, work, what) for what in ("result", "all")}}


def _paint(model: handfirst.TwoStage, request: handfirst.Request, what: str) -> None:
    result = model.render(request)
    xmp = packet(model.bundle, result)
    for image in [result.image] if what == "result" else [image for _, _, image in seam.pictures(result)]:
        encode(image, xmp=xmp)


def _paint_remotely(http: httpx.Client, what: str) -> None:
    job = http.post("/v1/jobs", json={"request": {"pose": POSE, "prompt": PROMPT}, "pictures": what}).json()
    events = http.get(f"/v1/jobs/{job['id']}/events").text
    for picture in json.loads(events.rstrip().rpartition("data: ")[2])["result"]["pictures"]:
        http.get(picture["href"]).raise_for_status()


def _compared(clock: Any, work: Any, what: str) -> dict[str, Any]:
    report = {}
    for name, times in (("clock", clock), ("processors", work)):
        library, http = times["library", what], times["http", what]
        cuts = quantiles([a / b - 1 for a, b in zip(http, library, strict=True)], n=4)
        report[name] = {
            "library_s": round(median(library), 3),
            "http_s": round(median(http), 3),
            "overhead_quartiles": [round(each, 4) for each in cuts],
        }
    return report


def workers(steps: int) -> dict[str, Any]:
    """Throughput and memory by processes and by pictures at a time, of one client that keeps the queue full."""
    rows = []
    for processes, jobs, threads in ((1, 1, 1), (1, 2, 1), (2, 1, 1), (4, 1, 1)):
        arguments = ("--workers", str(processes), "--jobs", str(jobs), "--threads", str(threads))
        with served(*arguments, limits={"waiting": 64, "per_client": 64}) as server:
            with httpx.Client(base_url=server.url, timeout=300) as http:
                while http.get("/metrics").text.count(f"handfirst_workers_ready {processes}.0") == 0:
                    time.sleep(0.1)
                began = time.perf_counter()
                body = {"request": {"pose": POSE, "prompt": PROMPT, "steps": steps}}
                ids = [http.post("/v1/jobs", json=body).json()["id"] for _ in range(PICTURES)]
                for id in ids:
                    http.get(f"/v1/jobs/{id}/events")
                seconds = time.perf_counter() - began
            memory = server.memory()
        rows.append(
            {
                "workers": processes,
                "jobs": jobs,
                "threads": threads,
                "pictures_per_second": round(len(ids) / seconds, 2),
                "mb_answers": round(memory["answers"]),
                "mb_each_worker": round(memory["paint"] / processes),
            }
        )
    return {"steps": steps, "rows": rows}


def fuzz(program: str) -> dict[str, Any]:
    """Schemathesis over the OpenAPI document: no 5xx, and nothing that the document does not say.

    A 503 is counted, and no fault: HTTP's word for "too much now, come again", which the document promises of pictures
    that do not come in time. On a machine that others use as well, some do not.
    """
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    with served("--threads", "1", limits=FUZZED) as server, TemporaryDirectory() as folder:
        config = Path(folder) / "schemathesis.toml"
        config.write_text('[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "503"]\n')
        done = subprocess.run(
            [
                Path(shutil.which(program) or program).absolute(),
                "--config-file",
                config,
                "run",
                f"{server.url}/v1/openapi.json",
                "--checks",
                checks,
                "-n",
                "40",
                "--seed",
                "1",
                "--request-timeout",
                "700",
            ],
            cwd=folder,  # it leaves a cache where it runs
            capture_output=True,
            text=True,
        )
        statuses = Counter[str]()
        for line in httpx.get(f"{server.url}/metrics").text.splitlines():
            if line.startswith("handfirst_http_answers_total"):
                statuses[line.partition('"')[2].partition('"')[0]] += int(float(line.rpartition(" ")[2]))
    summary = [
        line.strip() for line in done.stdout.splitlines() if " generated, " in line or "schemathesis v" in line.lower()
    ]
    right = done.returncode == 0 and not [status for status in statuses if status.startswith("5") and status != "503"]
    return {"right": right, "limits": FUZZED, "summary": summary, "statuses": dict(sorted(statuses.items()))}


if __name__ == "__main__":
    sys.exit(main())
