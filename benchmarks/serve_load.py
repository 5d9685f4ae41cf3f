"""A server under load, and what HTTP costs: everything through localhost, every picture against the library's.

    python benchmarks/serve_load.py load          # 2,000 jobs from 64 clients -> results/serve.json
    python benchmarks/serve_load.py overhead      # the demo's picture through HTTP and without, taking turns
    python benchmarks/serve_load.py workers       # 1, 2 and 4 processes or threads: throughput, memory of each
    python benchmarks/serve_load.py fuzz          # schemathesis (an environment of its own) over the OpenAPI document

Of the jobs a tenth is malformed (bodies that are no JSON, unknown fields, oversized bodies, ...); of the others a third
is cancelled midway, a tenth is followed by readers that are slow, a tenth by readers whose connection drops; the rest
is fetched at once. Every finished picture is compared, bit by bit, with the one that the same request gave without a
server. Ends with code 1 if anything was wrong, or any answer was a 5xx. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import embedding_results
import httpx
import numpy as np
from PIL import Image

import handfirst
from handfirst.runtime.pictures import encode
from handfirst.runtime.pose.write import encode_pose
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose

FILE = "serve.json"
SLACK = 0.05
"""Growth of the memory that still counts as flat, from the second quarter of a run to the last."""
SEEDS = 16
LIMITS = {"waiting": 48, "per_client": 1000, "keep_bytes": 16 << 20, "body": 1 << 20}
POSE = json.loads(encode_pose(demo_pose(), "coco"))
MALFORMED: list[tuple[bytes, int]] = [
    (b"{", 400),
    (b"\xff\xfe", 400),
    (b'{"request": NaN}', 400),
    (b"[" * 50_000, 400),
    (b"{}", 422),
    (b'{"request": {"pose": "/etc/passwd", "prompt": "a"}}', 422),
    (b'{"request": {"pose": [], "prompt": "a"}}', 422),
    (b'{"example": true, "request": {"steps": 100000}}', 422),
    (b'{"example": true, "request": {"colour": "red"}}', 422),
    (b'{"example": true, "other": 1}', 422),
    (b" " * ((1 << 20) + 1), 413),
]


def main() -> int:
    """Runs one part; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("load", "overhead", "workers", "fuzz"))
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1, help="per stage, of the load's pictures")
    parser.add_argument("--rounds", type=int, default=15, help="of overhead")
    parser.add_argument("--schemathesis", default="schemathesis", help="its program")
    options = parser.parse_args()
    if options.part == "load":
        report = load(options.jobs, options.clients, options.steps)
    elif options.part == "overhead":
        report = overhead(options.rounds)
    elif options.part == "workers":
        report = workers(options.steps)
    else:
        report = fuzz(options.schemathesis)
    embedding_results.add(options.part, report, FILE)
    return 0 if report.get("right", True) else 1


class Server:
    """`handfirst serve` with the embedded model, and the memory of its processes."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url, self.pid = url, process.pid

    def memory(self) -> dict[str, float]:
        """MB: of the process that answers, and of those that paint together."""
        paint = sum(_rss(pid) for pid in _children(self.pid))
        return {"answers": _rss(self.pid), "paint": paint}


@contextmanager
def served(*arguments: str, limits: dict[str, int] | None = None) -> Iterator[Server]:
    """A server that can paint."""
    more = [word for name, value in (limits or {}).items() for word in ("--limit", f"{name}={value}")]
    command = [sys.executable, "-m", "handfirst.runtime.cli.main", "serve", "--port", "0", *arguments, *more]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        if " on http" not in line:
            raise SystemExit(line)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield Server(line.rpartition(" on ")[2].strip(), process)
        process.terminate()
        if (code := process.wait(60)) != 0:
            raise SystemExit(f"the server ended with {code}")


class Crowd:
    """Clients at work, and what they saw."""

    def __init__(self, server: Server, steps: int) -> None:
        self.server, self.steps = server, steps
        with_pose = {"pose": POSE, "prompt": PROMPT, "steps": steps}
        self.bodies = [{"request": {**with_pose, "seed": seed}} for seed in range(SEEDS)]
        self.expected = expected(steps)
        self.lock = threading.Lock()
        self.seen: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.times: dict[str, list[float]] = {"accepted": [], "picture": [], "fetch": []}
        self.wrong: list[str] = []

    def work(self, numbers: Iterator[int]) -> None:
        """One client: jobs until there are none left."""
        with httpx.Client(base_url=self.server.url, timeout=300) as http:
            while True:
                with self.lock:
                    number = next(numbers, None)
                if number is None:
                    return
                try:
                    self.one(http, random.Random(number))
                except Exception as error:
                    self.note(f"{type(error).__name__}: {error}")

    def one(self, http: httpx.Client, chance: random.Random) -> None:
        """One job of whatever kind."""
        if chance.random() < 0.1:
            content, status = chance.choice(MALFORMED)
            answer = http.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
            self.heard(answer, "malformed")
            if answer.status_code != status:
                self.note(f"{content[:60]!r}: expected {status}, got {answer.status_code}")
            return
        seed, began = chance.randrange(SEEDS), time.perf_counter()
        id = self.accepted(http, self.bodies[seed])
        kind = chance.choices(("cancelled", "slow", "dropped", "plain"), (1 / 3, 0.1, 0.1, 0.47))[0]
        job = getattr(self, kind)(http, id, chance)
        if kind == "cancelled":
            if job["state"] not in ("cancelled", "succeeded"):
                self.note(f"cancelled: {job['state']}")
            self.heard(None, f"{kind}, {job['state']}")
            return
        self.times["picture"].append(time.perf_counter() - began)
        self.check(http, job, seed)
        self.heard(None, kind)

    def accepted(self, http: httpx.Client, body: dict[str, Any]) -> str:
        """A job's id, once there is room."""
        while True:
            began = time.perf_counter()
            answer = http.post("/v1/jobs", json=body)
            self.heard(answer, f"post {answer.status_code}")
            if answer.status_code == 202:
                self.times["accepted"].append(time.perf_counter() - began)
                return str(answer.json()["id"])
            if answer.status_code != 429 or "retry-after" not in answer.headers:
                raise RuntimeError(f"{answer.status_code} {answer.text[:100]}")
            time.sleep(min(0.5, float(answer.headers["retry-after"])))

    def plain(self, http: httpx.Client, id: str, chance: random.Random) -> dict[str, Any]:
        """Follows it to its end."""
        return self.follow(http, id, 0, None)

    def slow(self, http: httpx.Client, id: str, chance: random.Random) -> dict[str, Any]:
        """Asks for every preview, and reads them slowly."""
        return self.follow(http, id, 0.05, None, "?preview=data")

    def dropped(self, http: httpx.Client, id: str, chance: random.Random) -> dict[str, Any]:
        """Goes away after an event or two, and comes back."""
        last = self.follow(http, id, 0, chance.randint(1, 3))
        return last if "state" in last else self.follow(http, id, 0, None, last_event=last["number"])

    def cancelled(self, http: httpx.Client, id: str, chance: random.Random) -> dict[str, Any]:
        """Cancels it after some events, or at once."""
        self.follow(http, id, 0, chance.randint(1, 6))
        answer = http.post(f"/v1/jobs/{id}/cancel")
        self.heard(answer, "cancel")
        return dict(answer.json())

    def follow(
        self, http: httpx.Client, id: str, pause: float, most: int | None, query: str = "", last_event: int = 0
    ) -> dict[str, Any]:
        """The job at its end; where only so many events are read, the number of the last."""
        number, name = last_event, ""
        with http.stream("GET", f"/v1/jobs/{id}/events{query}", headers={"Last-Event-ID": str(last_event)}) as stream:
            self.heard(stream, "events")
            for line in stream.iter_lines():
                word, _, value = line.partition(": ")
                if word == "id":
                    if int(value) <= number:
                        self.note(f"event {value} after {number}")
                    number = int(value)
                elif word == "event":
                    name = value
                elif word == "data":
                    if name == "end":
                        return dict(json.loads(value))
                    if most is not None and number - last_event >= most:
                        break
                    time.sleep(pause)
        if most is None:
            self.note("a stream ended before its job")
        return {"number": number}

    def check(self, http: httpx.Client, job: dict[str, Any], seed: int) -> None:
        """The picture is the library's."""
        if job["state"] != "succeeded":
            self.note(f"expected a picture, got {job['state']}: {job['error']}")
            return
        began = time.perf_counter()
        answer = http.get(f"/v1/jobs/{job['id']}/pictures/result")
        self.heard(answer, f"fetch {answer.status_code}")
        self.times["fetch"].append(time.perf_counter() - began)
        if answer.status_code == 410:  # results are bounded, and the reader was slow: the server says so
            return
        if not np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), self.expected[seed]):
            self.note(f"a wrong picture for seed {seed}")

    def heard(self, answer: httpx.Response | None, kind: str) -> None:
        """Counts; nothing of the kind of a 5xx may come."""
        with self.lock:
            self.seen[kind] += 1
            if answer is not None:
                self.statuses[answer.status_code] += 1
        if answer is not None and answer.status_code >= 500:
            self.note(f"{answer.status_code} for {answer.request.method} {answer.request.url.path}")

    def note(self, what: str) -> None:
        """Something that must not be."""
        with self.lock:
            self.wrong.append(what)


def expected(steps: int) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """The pictures without a server."""
    model = handfirst.open(engine="cpu", threads=1)
    asked = [handfirst.Request(pose=demo_pose(), prompt=PROMPT, steps=steps, seed=seed) for seed in range(SEEDS)]
    made = [model.render(request).image for request in asked]
    model.close()
    return made


def load(jobs: int, clients: int, steps: int) -> dict[str, Any]:
    """Many clients of all kinds at once."""
    with served("--threads", "1", limits=LIMITS) as server:
        crowd = Crowd(server, steps)
        numbers, samples, began = iter(range(jobs)), [server.memory()], time.perf_counter()
        threads = [threading.Thread(target=crowd.work, args=(numbers,)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(1)
            samples.append(server.memory())
        seconds = time.perf_counter() - began
        left = httpx.get(f"{server.url}/metrics").text
    going = [line for line in left.splitlines() if line.startswith(("handfirst_jobs_waiting ", "handfirst_jobs_runn"))]
    memory = {name: _quarters([sample[name] for sample in samples]) for name in ("answers", "paint")}
    finished = len(crowd.times["picture"])
    return {
        "jobs": jobs,
        "clients": clients,
        "steps": steps,
        "limits": LIMITS,
        "right": not crowd.wrong and all(each["flat"] for each in memory.values()),
        "wrong": crowd.wrong[:20],
        "seen": dict(sorted(crowd.seen.items())),
        "statuses": {str(status): count for status, count in sorted(crowd.statuses.items())},
        "left_going": going,
        "seconds": round(seconds, 1),
        "pictures_per_second": round(finished / seconds, 2),
        "times_s": {name: _spread(times) for name, times in crowd.times.items()},
        "memory_mb": memory,
    }


def overhead(rounds: int) -> dict[str, Any]:
    """The demo's picture, of as many steps as the model has by default: through HTTP and without, taking turns.

    Either way ends with the bytes of a PNG. The server makes all pictures of a result, the library the one.
    """
    model = handfirst.open(engine="cpu", threads=1)
    request = handfirst.Request(pose=demo_pose(), prompt=PROMPT)
    times: dict[str, list[float]] = {"library": [], "http": []}
    with served("--threads", "1") as server, httpx.Client(base_url=server.url, timeout=300) as http:
        for number in range(rounds + 1):
            for way in ("library", "http") if number % 2 else ("http", "library"):
                began = time.perf_counter()
                if way == "library":
                    encode(model.render(request).image)
                else:
                    job = http.post("/v1/jobs", json={"request": {"pose": POSE, "prompt": PROMPT}}).json()
                    http.get(f"/v1/jobs/{job['id']}/events").raise_for_status()
                    http.get(f"/v1/jobs/{job['id']}/pictures/result").raise_for_status()
                if number:
                    times[way].append(time.perf_counter() - began)
    ratios = [a / b for a, b in zip(times["http"], times["library"], strict=True)]
    return {
        "rounds": rounds,
        "library_s": round(median(times["library"]), 4),
        "http_s": round(median(times["http"]), 4),
        "overhead": round(median(ratios) - 1, 4),
        "overhead_quartiles": [round(each - 1, 4) for each in quantiles(ratios, n=4)],
    }


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
                ids = [http.post("/v1/jobs", json=body).json()["id"] for _ in range(48)]
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
    """Schemathesis over the OpenAPI document: no 5xx, and nothing that the document does not say."""
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    with served("--threads", "1", limits={"seconds": 5, "keep_seconds": 60}) as server:
        done = subprocess.run(
            [program, "run", f"{server.url}/v1/openapi.json", "--checks", checks, "-n", "100", "--seed", "1"],
            capture_output=True,
            text=True,
        )
        statuses = Counter[str]()
        for line in httpx.get(f"{server.url}/metrics").text.splitlines():
            if line.startswith("handfirst_http_answers_total"):
                statuses[line.partition('"')[2].partition('"')[0]] += int(float(line.rpartition(" ")[2]))
    summary = [
        line.strip() for line in done.stdout.splitlines() if "generated" in line or "schemathesis v" in line.lower()
    ]
    right = done.returncode == 0 and not [status for status in statuses if status.startswith("5") and status != "503"]
    return {"right": right, "summary": summary, "statuses": dict(sorted(statuses.items()))}


def _quarters(samples: list[float]) -> dict[str, Any]:
    quarter = max(1, len(samples) // 4)
    second, last = max(samples[quarter : 2 * quarter]), max(samples[-quarter:])
    return {
        "first": round(samples[0]),
        "second_quarter": round(second),
        "last_quarter": round(last),
        "flat": last <= second * (1 + SLACK),
    }


def _spread(times: list[float]) -> dict[str, float]:
    cuts = quantiles(times, n=100) if len(times) > 1 else [0.0] * 99
    return {"p50": round(cuts[49], 4), "p99": round(cuts[98], 4)}


def _rss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1000
    return 0.0


def _children(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    found = [int(pid) for task in tasks for pid in task.read_text().split()]
    return [pid for pid in found if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]


if __name__ == "__main__":
    sys.exit(main())
