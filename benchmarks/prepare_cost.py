"""What `handfirst prepare` costs a picture: CPU time and memory of one process, of several versions in turns.

    python benchmarks/prepare_cost.py                       # this version -> benchmarks/results/prepare-cost.json
    git worktree add ../before COMMIT
    python benchmarks/prepare_cost.py --version before=../before --version after=.

A version is a checkout. Each is run in a process of its own, A B A B, on the same folder of rendered pictures, of which
2 in 100 are broken; counts are asked for that leave some over. Process time, so that other work on the machine does not
count.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from full_size import machine

from handfirst.engines.files import atomic_write_bytes

RESULT = Path(__file__).parent / "results" / "prepare-cost.json"
ROOMS = ("engines", "runtime", "training", "export")
WIDTH, HEIGHT, RADIUS = 960, 720, 90
RUN = """
import json, resource, time
from pathlib import Path
from handfirst.training.data.prepare.origins import open_origin
from handfirst.training.data.prepare.prepare import prepare
from handfirst.training.data.prepare.settings import Origin, PrepareSettings
origin = Origin(kind="folder", path={source!r}, count={count})
settings = PrepareSettings(stage="hand", origins=(origin,), size=512, val=8, shard=100)
started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = prepare(Path({out!r}), settings, lambda: [open_origin(origin, 512, 0)], 1, show=False)
spent = time.process_time() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = report["train"]["examples"]
print(json.dumps({{"seconds": spent, "examples": made, "grown_mb": (peak - before) / 1024}}))
"""


def main() -> None:
    """Paints the pictures, runs the versions in turns, writes medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="append", metavar="NAME=CHECKOUT", help="repeatable; in this order")
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--count", type=int, default=200, help="that are asked for")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    given = dict(text.split("=", 1) for text in arguments.version or [f"after={here}"])
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in given}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        paint(work / "pictures", arguments.pictures)
        trees = {name: tree(work / f"tree-{name}", Path(checkout).resolve()) for name, checkout in given.items()}
        for _ in range(arguments.rounds):
            for name, path in trees.items():
                runs[name].append(run(path, work / "pictures", work / "out", arguments.count))
    report = {"pictures": arguments.pictures, "asked_for": arguments.count, **summary(runs)}
    report["machine"] = machine(("numpy", "opencv-python-headless"))
    atomic_write_bytes(arguments.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report, indent=1))


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians of each version, and the last over the first."""
    medians = {
        name: {
            "examples": some[0]["examples"],
            "milliseconds_per_example": round(statistics.median(1000 * r["seconds"] / r["examples"] for r in some), 2),
            "memory_grown_mb": round(statistics.median(r["grown_mb"] for r in some), 1),
        }
        for name, some in runs.items()
    }
    first, *_, last = (m["milliseconds_per_example"] for m in [*medians.values(), *list(medians.values())[-1:]])
    return {"versions": medians, "time_of_the_last_over_the_first": round(last / first, 3)}


def tree(folder: Path, checkout: Path) -> Path:
    """A checkout's rooms as one package."""
    (folder / "handfirst").mkdir(parents=True)
    for path in (checkout / "src/handfirst/__init__.py", *(checkout / room for room in ROOMS)):
        (folder / "handfirst" / path.name).symlink_to(path)
    return folder


def run(path: Path, source: Path, out: Path, count: int) -> dict[str, Any]:
    """Seconds, examples and memory of one process."""
    shutil.rmtree(out, ignore_errors=True)
    code = RUN.format(source=str(source), out=str(out), count=count)
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def paint(folder: Path, count: int) -> None:
    """A folder source: discs for hands on noise, masks and key points beside; every 50th picture is no picture."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    ground = cv2.resize(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    angles = np.arange(20) * 2 * np.pi / 20
    for i in range(count):
        centre = rng.uniform((300, 250), (660, 470))
        around = np.stack([np.cos(angles), np.sin(angles)], 1) * RADIUS + centre
        hand = np.c_[np.vstack([[centre], around]), np.ones(21)].ravel().tolist()
        pose = {"people": [{"hand_left_keypoints_2d": hand}], "canvas_width": WIDTH, "canvas_height": HEIGHT}
        (folder / f"{i:05d}.json").write_text(json.dumps(pose))
        mask = (np.hypot(x - centre[0], y - centre[1]) <= RADIUS).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i:05d}.mask.png"), mask)
        picture = np.where(mask[..., None] > 0, (90, 140, 200), ground).astype(np.uint8)
        if i % 50 == 7:
            whole = cv2.imencode(".jpg", picture)[1].tobytes()
            (folder / f"{i:05d}.jpg").write_bytes(whole[:200])
        else:
            cv2.imwrite(str(folder / f"{i:05d}.jpg"), picture)


if __name__ == "__main__":
    main()
