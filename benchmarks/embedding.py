"""What embedding costs: importing, opening, previews, threads against batches, and the disk that an installation takes.

    python -m venv .venv-lean && .venv-lean/bin/pip install '.[cpu]'
    .venv-lean/bin/python benchmarks/embedding.py            # -> results/embedding.json

Medians of repeated measurements that take turns, so that a machine that is shared slows all of them alike. The disk is
measured where no torch is installed; pip and setuptools, which came with the environment, are counted apart.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import embedding_results
import numpy as np

import handfirst
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose

STARTING = """
import time
start = time.perf_counter()
import handfirst
imported = time.perf_counter()
handfirst.Request, handfirst.read_pose, handfirst.open
loaded = time.perf_counter()
handfirst.open()
opened = time.perf_counter()
print(imported - start, loaded - imported, opened - loaded)
"""
CAME_WITH_THE_ENVIRONMENT = {"pip", "setuptools", "pkg_resources", "_distutils_hack", "wheel"}
POSE = demo_pose()


def main() -> None:
    """Measures and writes three sections."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="per stage, for threads against batches")
    options = parser.parse_args()
    model = handfirst.open()
    embedding_results.add("costs", {**starting(options.rounds), **previews(model)})
    embedding_results.add("together", {"steps": options.steps, **together(options.rounds, options.steps)})
    if find_spec("torch") is None:
        embedding_results.add("install", installed())


def starting(rounds: int) -> dict[str, float]:
    """Seconds in fresh interpreters whose files the system has in memory."""
    runs = []
    for _ in range(rounds + 1):
        done = subprocess.run([sys.executable, "-c", STARTING], capture_output=True, text=True, check=True)
        runs.append([float(word) for word in done.stdout.split()])
    names = ("import_s", "first_use_s", "open_s")
    return {name: round(median(column), 3) for name, column in zip(names, zip(*runs[1:], strict=True), strict=True)}


def previews(model: handfirst.TwoStage) -> dict[str, Any]:
    """Milliseconds of a step, of its preview, and of the same picture decoded; and how far the two are apart."""
    codec = model._body._codec
    seconds: dict[str, list[float]] = {"step": [], "preview": [], "decoded": []}
    apart = []
    started = time.perf_counter()
    for progress in model.steps(request(0)):
        seconds["step"].append(time.perf_counter() - started)
        if progress.stage == "body":
            step = progress.preview.args[0]  # type: ignore[attr-defined]
            sketch, decoded = (
                timed(seconds["preview"], progress.preview),
                timed(seconds["decoded"], lambda step=step: codec.decode(step.x_0[:1])[0]),
            )
            factor = model.settings.latent.factor
            apart.append(np.abs(cells(sketch, factor) - cells(decoded, factor)).mean())
        else:
            seconds["step"].pop()
        started = time.perf_counter()
    ms = {f"{name}_ms": round(1e3 * median(values), 2) for name, values in seconds.items()}
    return {**ms, "preview_error_of_255": round(float(np.mean(apart)), 1)}


def together(rounds: int, steps: int) -> dict[str, dict[str, float]]:
    """Seconds per picture of four, on the clock and of the processors, from one to four workers and as one batch."""
    models = {"": handfirst.open(), "_with_threads_1": handfirst.open(threads=1)}
    asked = [request(seed, steps) for seed in range(4)]

    def workers(count: int, model: handfirst.TwoStage) -> None:
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(model.render, asked))

    ways: dict[str, Callable[[], object]] = {"batch_of_4": lambda: models[""].render_batch(asked)}
    for name, model in models.items():
        ways |= {f"{count}_workers{name}": partial(workers, count, model) for count in (1, 2, 4)}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    busy: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.process_time()
            timed(wall[name], way)
            busy[name].append(time.process_time() - started)
    return {
        name: {"clock_s": round(median(wall[name]) / 4, 3), "processors_s": round(median(busy[name]) / 4, 3)}
        for name in ways
    }


def installed() -> dict[str, Any]:
    """Megabytes (10**6 bytes) on disk of everything in site-packages, blocks as the file system counts them."""
    root = Path(sysconfig.get_paths()["purelib"])
    sizes = {entry.name: disk(entry) for entry in root.iterdir()}
    tools = sum(size for name, size in sizes.items() if name.partition("-")[0] in CAME_WITH_THE_ENVIRONMENT)
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:10]
    return {
        "mb": round((sum(sizes.values()) - tools) / 1e6, 1),
        "pip_and_setuptools_mb": round(tools / 1e6, 1),
        "largest_mb": {name: round(sizes[name] / 1e6, 1) for name in largest},
        "versions": {d.name: d.version for d in distributions() if d.name not in CAME_WITH_THE_ENVIRONMENT},
    }


def disk(path: Path) -> int:
    """Bytes of a file, or of all files under a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(512 * file.lstat().st_blocks for file in files)


def request(seed: int, steps: int | None = None) -> handfirst.Request:
    """The demo's picture with another seed."""
    return handfirst.Request(pose=POSE, prompt=PROMPT, seed=seed, steps=steps)


def cells(image: np.ndarray, factor: int) -> np.ndarray:
    """Block means: what a preview of one colour per cell can know."""
    height, width, channels = image.shape
    return image.reshape(height // factor, factor, width // factor, factor, channels).mean((1, 3))


def timed(seconds: list[float], way: Callable[[], Any]) -> Any:
    """What it gives; how long it took is added to the list."""
    started = time.perf_counter()
    made = way()
    seconds.append(time.perf_counter() - started)
    return made


if __name__ == "__main__":
    main()
