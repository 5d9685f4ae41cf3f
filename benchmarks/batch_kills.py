"""`handfirst batch` killed with SIGKILL at random moments, over and over, then left to end: is everything there, once?

    python benchmarks/batch_kills.py                 # 200 jobs, 50 kills -> benchmarks/results/batch_kills.json
    python benchmarks/batch_kills.py --jobs 12 --kills 4 --out kills.json

A kill comes after a random time, uniform from 0 to a limit that follows the pace of the machine (or once a run has done
more than its share), so that the kills spread over the whole batch: some fall into the start of a run, some between two
groups, some into a group.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2

from handfirst.engines.files import atomic_write_bytes, leftovers

RESULT = Path(__file__).parent / "results" / "batch_kills.json"
POSE = Path(__file__).resolve().parents[1] / "runtime" / "systems" / "two_stage" / "demo_pose.json"
HANDFIRST = [sys.executable, "-c", "import sys; from handfirst.runtime.cli.main import main; sys.exit(main())"]
HANDS = ("hand_left_keypoints_2d", "hand_right_keypoints_2d")


def main() -> int:
    """Kills, ends, checks; 0 if nothing was lost, made twice or broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--overlap", action="store_true")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="handfirst-kills-") as place:
        work = Path(place)
        jobs = work / "jobs.jsonl"
        jobs.write_text("".join(json.dumps(job) + "\n" for job in demo_jobs(options.jobs, options.steps)))
        command = [*HANDFIRST, "batch", str(jobs), "-o", str(work / "out"), "--engine", "cpu", "--no-progress"]
        command += ["--batch-size", str(options.batch_size), "--overlap" if options.overlap else "--no-overlap"]
        started = time.time()
        kills = kill_often(command, work / "out", options.jobs, options.kills, random.Random(options.seed))
        last = subprocess.run(command, capture_output=True, text=True, check=False)
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        report = {
            "what": f"{options.jobs} jobs of the embedded model, {options.steps} steps, killed {options.kills} times",
            "options": {"batch_size": options.batch_size, "overlap": options.overlap, "seed": options.seed},
            "kills": summary(kills),
            "last_run": {"exit_code": last.returncode, "said": said(last, work)},
            "run_after_the_last": {"exit_code": again.returncode, "said": said(again, work)},
            "found": inspect(work / "out", options.jobs),
            "minutes": round((time.time() - started) / 60, 1),
            "cores": os.cpu_count(),
        }
    report["ok"] = not last.returncode and not any(report["found"]["wrong"].values())
    atomic_write_bytes(options.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report, indent=1))
    return 0 if report["ok"] else 1


def said(run: subprocess.CompletedProcess[str], work: Path) -> list[str]:
    """Its lines on stdout, without this machine's folder."""
    return run.stdout.replace(f"{work}{os.sep}", "").splitlines()


def demo_jobs(count: int, steps: int) -> list[dict[str, Any]]:
    """The embedded pose with both hands or one of them, a seed each."""
    pose = json.loads(POSE.read_text())
    poses = [pose, *({**pose, "people": [{**pose["people"][0], hand: None}]} for hand in HANDS)]
    prompt = "a person with short black hair, wearing a yellow t-shirt, plain teal background"
    return [
        {"id": f"job-{i:05d}", "pose": poses[i % 3], "prompt": prompt, "seed": i, "steps": steps} for i in range(count)
    ]


def kill_often(command: list[str], out: Path, jobs: int, count: int, chance: random.Random) -> list[dict[str, Any]]:
    """Runs and kills; what each kill left. A run that ended by itself would be a kill too few: it is an error."""
    kills: list[dict[str, Any]] = []
    limit = 6.0
    while len(kills) < count:
        before = len(whole_lines(out))
        share = (jobs - before) / (count - len(kills) + 1)
        start, delay = time.monotonic(), chance.uniform(0, limit)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while time.monotonic() - start < delay and len(whole_lines(out)) - before < 1.5 * share:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        if process.poll() is not None:
            raise SystemExit(f"the batch ended before kill {len(kills) + 1}; give more jobs")
        process.kill()
        process.wait()
        done = len(whole_lines(out)) - before
        kills.append({"delay": round(time.monotonic() - start, 3), "done": done, **left(out)})
        limit *= 1.15 if done < share else 0.8
    return kills


def whole_lines(out: Path) -> list[dict[str, Any]]:
    """The ledger's lines that are whole, as anybody would read them."""
    path = out / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def left(out: Path) -> dict[str, int]:
    """What a killed run left that the next has to clear away."""
    if not out.exists():
        return {"temporary_files": 0, "torn_lines": 0, "pictures_without_line": 0}
    ledger = out / "results.jsonl"
    named = {name for line in whole_lines(out) for name in line.get("files", ())}
    return {
        "temporary_files": len(leftovers(out)),
        "torn_lines": int(ledger.exists() and not ledger.read_bytes().endswith(b"\n") and ledger.stat().st_size > 0),
        "pictures_without_line": len({path.name for path in out.glob("[!.]*.png")} - named),
    }


def summary(kills: list[dict[str, Any]]) -> dict[str, Any]:
    """Of all kills."""
    after = {name: sum(kill[name] > 0 for kill in kills) for name in ("temporary_files", "torn_lines")}
    return {
        "count": len(kills),
        "seconds_until": {"least": min(k["delay"] for k in kills), "most": max(k["delay"] for k in kills)},
        "before_any_job_of_their_run_was_done": sum(kill["done"] == 0 for kill in kills),
        "that_left": {**after, "pictures_without_line": sum(kill["pictures_without_line"] > 0 for kill in kills)},
    }


def inspect(out: Path, jobs: int) -> dict[str, Any]:
    """Counts what is there and what is wrong with it; pictures are decoded, their bytes compared with the ledger's."""
    lines = whole_lines(out)
    wanted = {f"job-{i:05d}" for i in range(jobs)}
    broken = []
    for line in lines:
        for name, digest in zip(line.get("files", ()), line.get("sha256", ()), strict=True):
            data = (out / name).read_bytes() if (out / name).exists() else b""
            image = cv2.imread(str(out / name)) if data else None
            if image is None or hashlib.sha256(data).hexdigest() != digest:
                broken.append(name)
    pictures = {path.name for path in out.iterdir() if path.suffix == ".png"}
    others = {path.name for path in out.iterdir()} - pictures - {"batch.json", "results.jsonl", ".lock"}
    return {
        "lines": len(lines),
        "pictures": len(pictures),
        "wrong": {
            "missing": len(wanted - {line["id"] for line in lines if line["status"] == "done"}),
            "twice": len(lines) - len({line["id"] for line in lines}),
            "broken": len(broken),
            "pictures_without_line": len(pictures - {name for line in lines for name in line.get("files", ())}),
            "other_files": len(others),
        },
    }


if __name__ == "__main__":
    sys.exit(main())
