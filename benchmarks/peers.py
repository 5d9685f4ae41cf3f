"""handfirst beside its peers: the same weights, the same job, in one run, each in turn in a process of its own.

    python benchmarks/peers.py WORK --weights embedded          # -> results/peers-embedded.json
    python benchmarks/peers.py WORK --weights full --one-by-one --contender 'handfirst openvino-bf16' ...

The job is stage 2's loop without hands, which is what every peer can do: contexts, a skeleton and noise are given,
latents come back (peers_model.py). Text encoder and decoder stand outside of it. All contenders do a job one after the
other, `--rounds` times, each round beginning with another one; the round before these compiles and is told apart. What
each computes is held against diffusers in float32: what is not the same job shows there.

Times are the processor's where there is one thread, as other work is not in them; else the clock's. Ratios are of the
same round, their median is what is told. Memory is the process's own, at most, up to the end of the first job.
All are opened beside each other, so of that the processor's seconds alone are told.
`--one-by-one` opens a contender anew for every round, so that one alone is in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from peers_child import AGAINST, CONTENDERS, REFERENCE
from peers_model import CANVAS, Job, described, make

from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.profile.machine import machine

RESULTS = Path(__file__).parent / "results"
LIBRARIES = (
    *("handfirst", "numpy", "torch", "diffusers", "onnxruntime", "openvino", "openvino-genai", "DeepCache"),
    "stable-diffusion-cpp-python",
)


def main() -> None:
    """Makes the weights, lets all contenders do all jobs, and writes the file after every job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder of the weights; what is there is used again")
    parser.add_argument("--weights", choices=tuple(CANVAS), default="embedded")
    parser.add_argument("--contender", action="append", default=[], help="of CONTENDERS; default: all")
    parser.add_argument("--steps", type=int, nargs="+", default=[20], help="the first is the main job's")
    parser.add_argument("--sizes", type=int, nargs="+", default=[], help="pixels; the main job has the usual canvas")
    parser.add_argument("--batches", type=int, nargs="+", default=[])
    parser.add_argument("--short", type=int, default=4, help="steps of the jobs of other sizes and batches")
    parser.add_argument("--workers", type=int, nargs="+", default=[], help="processes that do the main job at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one-by-one", action="store_true")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    if unknown := set(options.contender) - CONTENDERS.keys():
        parser.error(f"--contender: expected some of {', '.join(CONTENDERS)}, got {', '.join(unknown)}")
    folder = options.work / options.weights
    subprocess.run([sys.executable, __file__, "--make", str(folder), options.weights], check=True)
    names = [name for name in CONTENDERS if name in (options.contender or CONTENDERS)]
    teams = {name: Team(name, folder, options) for name in names}
    usual, (steps, *more) = CANVAS[options.weights][0], options.steps
    jobs = [Job(usual, 1, steps)]
    jobs += [Job(usual, 1, count) for count in more]
    jobs += [Job(size, 1, options.short) for size in options.sizes]
    jobs += [Job(usual, batch, options.short) for batch in options.batches]
    report: dict[str, Any] = {
        "what": "stage 2's loop without hands, guidance in every step; random weights",
        "weights": options.weights,
        "parameters": json.loads((folder / "model.json").read_text())["parameters"],
        "threads": options.threads,
        "time": clock(options.threads),
        "against": AGAINST,
        "machine": machine(LIBRARIES),
        "contenders": {},
        "jobs": [],
    }
    for team in teams.values() if not options.one_by_one else ():
        team.begin()
    for job in jobs:
        report["jobs"].append({"job": described(job), "contenders": compete(teams, job, options)})
        report["contenders"] = {name: team.told for name, team in teams.items()}
        write(report, options)
    report["workers"] = [work(teams, jobs[0], count, options) for count in options.workers]
    report["load_at_the_end"] = round(os.getloadavg()[0], 2)
    write(report, options)
    for team in teams.values():
        team.close()


def write(report: dict[str, Any], options: argparse.Namespace) -> None:
    """The file as it stands."""
    out = options.out or RESULTS / f"peers-{options.weights}.json"
    atomic_write_bytes(out, (json.dumps(report, indent=1) + "\n").encode())


def clock(threads: int) -> str:
    """Which of a run's times is told."""
    return "processor_seconds" if threads == 1 else "seconds"


class Team:
    """A contender's process, which is there when it is needed, and what is known of it."""

    def __init__(self, name: str, folder: Path, options: argparse.Namespace) -> None:
        self.name, self._folder, self._options = name, folder, options
        self.told: dict[str, Any] = {"note": CONTENDERS[name].note} if CONTENDERS[name].note else {}
        self._process: subprocess.Popen[str] | None = None
        self._begun = False
        self.latents = folder / f"latents {name}.npy"
        only = CONTENDERS[name].only
        if only not in (None, options.weights):
            self.told["absent"] = f"takes networks of the {only} size alone"

    @property
    def absent(self) -> bool:
        """Whether it takes no part."""
        return "absent" in self.told

    def start(self) -> None:
        """Opens it, if it is not open, and waits until it is."""
        self.begin()
        if not self._begun:
            return
        self._begun = False
        found = self.hear()
        self.told |= {key: value for key, value in found.items() if key not in self.told}
        if "failed" in found:
            self.told["absent"] = found["failed"]
        if self.absent:
            self.close()

    def begin(self) -> None:
        """Begins to open it, if it is not open."""
        if self._process is not None or self.absent:
            return
        self._begun = True
        threads = str(self._options.threads)
        command = [
            sys.executable,
            str(Path(__file__).with_name("peers_child.py")),
            self.name,
            str(self._folder),
            threads,
        ]
        told = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=told,
            stderr=None if os.environ.get("PEERS_LOUD") else subprocess.DEVNULL,
        )  # fmt: skip

    def ask(self, job: Job) -> None:
        """Gives it the job."""
        assert self._process is not None and self._process.stdin is not None
        self.latents.unlink(missing_ok=True)
        self._process.stdin.write(json.dumps({"job": described(job), "out": str(self.latents)}) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """What it says next."""
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return {"failed": f"the process ended with {self._process.wait()}"}
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


def compete(teams: dict[str, Team], job: Job, options: argparse.Namespace) -> dict[str, Any]:
    """All contenders do the job in turns. Returns figures by name; None where one could not, with the reason."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in teams}
    failed: dict[str, str] = {}
    names = list(teams)
    for number in range(options.rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            if name in failed or (options.one_by_one and number == 0):
                continue
            found = play(teams[name], job, 2 if options.one_by_one else 1)
            if "failed" in found:
                failed[name] = found["failed"]
                teams[name].close()
                continue
            runs[name].append(found)
            print(f"{job}, round {number}: {name} {found['processor_seconds']:.2f} s", file=sys.stderr, flush=True)
            if options.one_by_one:
                teams[name].close()
    timed = {name: found if options.one_by_one else found[1:] for name, found in runs.items() if found}
    told: dict[str, Any] = {name: {"missing": reason} for name, reason in failed.items()}
    for name, found in timed.items():
        if found and name not in failed:
            told[name] = figures(name, found, timed, teams, job, clock(options.threads))
            told[name]["first_seconds"] = round(runs[name][0].get("first", runs[name][0]["seconds"]), 2)
    return {name: told[name] for name in names if name in told}


def play(team: Team, job: Job, times: int) -> dict[str, Any]:
    """The job, done `times` times; the last one counts, "first" are the clock's seconds of the first."""
    team.start()
    if team.absent:
        return {"failed": team.told["absent"]}
    first = None
    for _ in range(times):
        team.ask(job)
        found = team.hear()
        if "failed" in found:
            return found
        first = found["seconds"] if first is None else first
    return found | {"first": first}


def figures(
    name: str, found: list[dict[str, Any]], runs: dict[str, list[dict[str, Any]]], teams: dict[str, Team], job: Job,
    time_of: str,
) -> dict[str, Any]:  # fmt: skip
    """Medians over rounds, and ratios within them."""

    def ratio(other: str | None) -> float | None:
        pairs = zip(found, runs.get(other or "", []), strict=False)
        ratios = [own[time_of] / theirs[time_of] for own, theirs in pairs]
        return round(median(ratios), 3) if ratios else None

    seconds = median(run[time_of] for run in found)
    told = {
        "seconds": round(seconds, 4),
        "seconds_a_step": round(seconds / job.steps, 5),
        "clock_seconds": round(median(run["seconds"] for run in found), 4),
        "rounds": [round(run[time_of], 4) for run in found],
        "ratio": ratio(AGAINST),
        "peak_memory_bytes": found[0]["peak_memory_bytes"],
        "relative_error": error(teams[name].latents, teams.get(REFERENCE), job),
    }
    return told | ({"to_bare": ratio(CONTENDERS[name].bare)} if CONTENDERS[name].bare else {})


def error(latents: Path, reference: Team | None, job: Job) -> float | None:
    """|x - x_ref| / |x_ref| of the finished latents; None where either has none."""
    if reference is None or reference.absent or not (latents.exists() and reference.latents.exists()):
        return None
    own, theirs = np.load(latents).astype(np.float64), np.load(reference.latents).astype(np.float64)
    return float(f"{np.linalg.norm(own - theirs) / np.linalg.norm(theirs):.2g}") if own.shape == theirs.shape else None


def work(teams: dict[str, Team], job: Job, count: int, options: argparse.Namespace) -> dict[str, Any]:
    """Pictures a second of `count` processes of each contender that do the job at once, by the clock."""
    told: dict[str, Any] = {"workers": count, "job": described(job)}
    cores = len(os.sched_getaffinity(0))
    if count * options.threads > cores:
        return told | {"missing": f"{count} processes of {options.threads} threads want more than {cores} cores"}
    told["pictures_a_second"] = {}
    for name in [name for name, team in teams.items() if not team.absent]:
        crew = [Team(name, teams[name]._folder, options) for _ in range(count)]
        for times in (1, options.rounds):  # the first compiles
            started = time.perf_counter()
            for _ in range(times):
                for each in crew:
                    each.start()
                    each.ask(job)
                for each in crew:
                    each.hear()
        told["pictures_a_second"][name] = round(count * job.batch * options.rounds / (time.perf_counter() - started), 3)
        for each in crew:
            each.close()
    return told


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(Path(sys.argv[2]), sys.argv[3])  # type: ignore[arg-type]
    else:
        main()
