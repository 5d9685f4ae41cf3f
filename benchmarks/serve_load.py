"""A server under load: everything through localhost, every picture against the library's.

    python benchmarks/serve_load.py               # 2,000 jobs from 64 clients -> results/serve.json

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
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from statistics import quantiles
from typing import Any

import embedding_results
import httpx
import numpy as np
from PIL import Image
from serve_process import FILE, POSE, Server, served

import handfirst
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose

SLACK = 0.05
"""Growth of the memory that still counts as flat, from the second quarter of a run to the last."""
SEEDS = 16
LIMITS = {"waiting": 48, "per_client": 1000, "keep_bytes": 16 << 20, "body": 1 << 20}
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
    """Runs it; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1, help="per stage")
    options = parser.parse_args()
    report = load(options.jobs, options.clients, options.steps)
    embedding_results.add("load", report, FILE)
    return 0 if report["right"] else 1


class Crowd:
    """Clients at work, and what they saw."""

    def __init__(self, server: Server, steps: int) -> None:
        self.server, self.steps = server, steps
        with_pose = {"pose": POSE, "prompt": PROMPT, "steps": steps}
        self.bodies = [{"request": {**with_pose, "seed": seed}} for seed in range(SEEDS)]
        began = time.perf_counter()
        self.expected = expected(steps)
        self.alone = SEEDS / (time.perf_counter() - began)
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
            time.sleep(float(answer.headers["retry-after"]))

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
        "library_alone_per_second": round(crowd.alone, 2),
        "times_s": {name: _spread(times) for name, times in crowd.times.items()},
        "memory_mb": memory,
    }


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


if __name__ == "__main__":
    sys.exit(main())
