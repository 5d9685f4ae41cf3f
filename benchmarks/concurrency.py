"""Is one model safe in a server? Many threads, random cancels and malformed requests; then a long run for the memory.

    python benchmarks/concurrency.py --renders 0 # 400 jobs -> results/embedding.json
    python benchmarks/concurrency.py --jobs 0    # 1,000 renders, in a process that has not been large before
    python benchmarks/concurrency.py --jobs 60 --renders 0 --steps 4

A third of the jobs is cancelled midway, a tenth is malformed. Every finished picture is compared, bit by bit, with the
one that the same request gave alone; steps that a worker began after a cancel are counted; the process' memory is
sampled throughout. Ends with code 1 if anything was wrong. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from statistics import median
from typing import Any

import embedding_results
import numpy as np

import handfirst
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose

POSE = demo_pose()
SLACK = 0.05
"""Growth of the memory that still counts as flat, from the second quarter of a run to the last."""


def main() -> int:
    """Runs both parts; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--threads", type=int, default=8, help="clients, and workers that share the model")
    parser.add_argument("--seeds", type=int, default=40, help="different pictures among the jobs")
    parser.add_argument("--steps", type=int, default=None, help="per stage; the model's default if not given")
    parser.add_argument("--renders", type=int, default=1000)
    parser.add_argument("--render-steps", type=int, default=4)
    options = parser.parse_args()
    model = handfirst.open()
    right = True
    if options.jobs:
        crowd = Crowd(model, options.seeds, options.steps)
        report = crowd.run(options.jobs, options.threads)
        embedding_results.add("concurrency", report)
        right &= report["right"] and report["memory"]["flat"]
    if options.renders:
        report = long_run(model, options.renders, options.render_steps)
        embedding_results.add("memory", report)
        right &= report["flat"]
    return 0 if right else 1


def asked(seed: int, steps: int | None) -> handfirst.Request:
    """The demo's picture with another seed; eta 0 and 1 in turn."""
    return handfirst.Request(pose=POSE, prompt=PROMPT, seed=seed, steps=steps, eta=float(seed % 2))


class Counted:
    """The model, and how many steps of each request were begun."""

    def __init__(self, model: handfirst.TwoStage) -> None:
        self._model = model
        self.begun: dict[int, int] = {}
        self.freed: dict[int, float] = {}

    def steps(self, request: handfirst.Request) -> Generator[handfirst.Progress, None, None]:
        return self._counted(id(request), self._model.steps(request))

    def _counted(
        self, key: int, steps: Generator[handfirst.Progress, None, None]
    ) -> Generator[handfirst.Progress, None, None]:
        try:
            self.begun[key] = 1
            for progress in steps:
                yield progress
                self.begun[key] += 1
        finally:
            steps.close()
            self.freed[key] = time.monotonic()


class Crowd:
    """Clients that submit, cancel and submit nonsense, and what came of it."""

    def __init__(self, model: handfirst.TwoStage, seeds: int, steps: int | None) -> None:
        self._model = Counted(model)
        self._seeds, self._steps = seeds, steps
        started = time.monotonic()
        self._alone = [model.render(asked(seed, steps)) for seed in range(seeds)]
        self._alone_s = (time.monotonic() - started) / seeds
        self._lock = threading.Lock()
        self._cancelled: list[tuple[handfirst.Request, int, float]] = []
        self._counts = dict.fromkeys(("finished", "cancelled", "malformed", "busy"), 0)
        self._wrong: list[str] = []

    def run(self, jobs: int, threads: int) -> dict[str, Any]:
        """All jobs through `threads` clients and as many workers."""
        fates = ["cancel"] * round(jobs / 3) + ["malformed"] * round(jobs / 10)
        fates += ["finish"] * (jobs - len(fates))
        random.Random(1).shuffle(fates)
        work = list(enumerate(fates))
        memory = Memory()
        started = time.monotonic()
        with memory, handfirst.Server(self._model, workers=threads, waiting=threads // 2) as server:
            clients = [threading.Thread(target=self._client, args=(server, work)) for _ in range(threads)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
        seconds = time.monotonic() - started
        late = [self._model.begun.get(id(request), 0) - begun for request, begun, _ in self._cancelled]
        free = [self._model.freed[id(request)] - when for request, _, when in self._cancelled]
        return {
            "jobs": jobs,
            "threads": threads,
            "steps": self._steps or self._model._model.settings.defaults.steps,
            **self._counts,
            "wrong": self._wrong[:5],
            "steps_begun_after_a_cancel": {"most": max(late, default=0), "mean": round(float(np.mean(late or [0])), 3)},
            "seconds_until_free": {"most": round(max(free, default=0), 3), "median": round(median(free or [0]), 3)},
            "seconds_per_picture_alone": round(self._alone_s, 3),
            "seconds": round(seconds, 1),
            "memory": memory.report(),
            "right": not self._wrong and max(late, default=0) <= 1,
        }

    def _client(self, server: handfirst.Server, work: list[tuple[int, str]]) -> None:
        while True:
            with self._lock:
                if not work:
                    return
                number, fate = work.pop()
            try:
                getattr(self, f"_{fate}")(server, number)
            except Exception as error:
                self._wrong.append(f"job {number}, {fate}: {error!r}")

    def _finish(self, server: handfirst.Server, number: int) -> None:
        seed = number % self._seeds
        made, alone = self._submit(server, asked(seed, self._steps)).result(), self._alone[seed]
        if not (np.array_equal(made.image, alone.image) and np.array_equal(made.latents, alone.latents)):
            self._wrong.append(f"job {number}, seed {seed}: another picture than alone")
        self._count("finished")

    def _cancel(self, server: handfirst.Server, number: int) -> None:
        """Reads on to a step somewhere in the middle, then cancels."""
        request = asked(number % self._seeds, self._steps)
        job, dice = self._submit(server, request), random.Random(number)
        for progress in job:
            if progress.stage in ("hands", "body") and dice.random() < 0.15:
                progress.preview()
                break
        if not job.cancel():
            self._count("finished")  # it was quicker
            return
        self._cancelled.append((request, self._model.begun.get(id(request), 0), time.monotonic()))
        try:
            job.result()
            self._wrong.append(f"job {number}: cancelled, yet it has a result")
        except handfirst.JobCancelledError:
            self._count("cancelled")

    def _malformed(self, server: handfirst.Server, number: int) -> None:
        fields: dict[str, Any] = [
            {"prompt": " "},
            {"steps": 0},
            {"guidance": math.nan},
            {"seed": -1},
            {"hand_mask": np.zeros((3, 3), np.bool_)},
        ][number % 5]
        try:
            server.submit(handfirst.Request(**{"pose": POSE, "prompt": PROMPT, **fields}))
            self._wrong.append(f"job {number}: nonsense was taken: {fields}")
        except handfirst.RequestError:
            self._count("malformed")

    def _submit(self, server: handfirst.Server, request: handfirst.Request) -> handfirst.Job:
        while True:
            try:
                return server.submit(request)
            except handfirst.BusyError:
                self._count("busy")
                time.sleep(0.05)

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1


class Memory:
    """Resident memory of this process, sampled while the block runs."""

    def __init__(self, every: float = 0.25) -> None:
        self._every = every
        self._done = threading.Event()
        self._samples: list[float] = []
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._done.wait(self._every):
            self._samples.append(int(Path("/proc/self/statm").read_text().split()[1]) * page / 1e6)

    def report(self) -> dict[str, Any]:
        """Megabytes: the most, and the medians of the second and the last quarter of the run."""
        quarter = max(1, len(self._samples) // 4)
        second, last = self._samples[quarter : 2 * quarter] or self._samples, self._samples[-quarter:]
        growth = median(last) / median(second) - 1
        return {
            "peak_mb": round(max(self._samples), 1),
            "second_quarter_mb": round(median(second), 1),
            "last_quarter_mb": round(median(last), 1),
            "growth": round(growth, 4),
            "flat": growth < SLACK,
        }


def long_run(model: handfirst.TwoStage, renders: int, steps: int) -> dict[str, Any]:
    """One render after the other, each with another seed."""
    with Memory() as memory:
        for seed in range(renders):
            model.render(asked(seed, steps))
    return {"renders": renders, "steps": steps, **memory.report()}


if __name__ == "__main__":
    sys.exit(main())
