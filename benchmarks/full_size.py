"""Full size on this machine: random weights in Stable Diffusion 1.5's own layout, through every command of the package.

    pip install -e '.[export,cpu,openvino]'
    python benchmarks/full_size.py WORK_FOLDER          # -> benchmarks/results/fullsize-cpu.json

init, export, verify, then renders of both stages at 512 x 512 with two steps, on onnxruntime in float32 and on
OpenVINO in bfloat16, each with all networks in memory and with those of one stage at a time. Each command is a process
of its own, so that its peak memory is its own. The figures do not depend on what the weights know; the pictures are
noise.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from handfirst.engines.bundle import Bundle
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.profile.machine import machine

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).parent / "results" / "fullsize-cpu.json"
HANDFIRST = [sys.executable, "-c", "import sys; from handfirst.runtime.cli.main import main; sys.exit(main())"]
POSE = ROOT / "runtime" / "systems" / "two_stage" / "demo_pose.json"
PROMPT = "a person with short black hair, left hand open palm"
LIBRARIES = ("handfirst", "torch", "diffusers", "onnxruntime", "openvino")


def main() -> None:
    """Runs every command and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder with 25 GB of room; what is there already is kept and used")
    parser.add_argument("--tiny", action="store_true", help="narrow networks: tries the script itself in two minutes")
    parser.add_argument("--engines", nargs="+", default=["cpu", "openvino-bf16"])
    parser.add_argument("--runs", type=int, default=3, help="timed evaluations of each graph on each engine")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    commands: dict[str, Any] = {}
    size = 128 if options.tiny else 512
    if not (work / "checkpoint.safetensors").exists():
        run(commands, "checkpoint", [sys.executable, __file__, "--make", str(work), *(["--tiny"] * options.tiny)])
    model, bundle = work / "model", work / "bundle"
    if not model.exists():
        arguments = ["--controlnet", str(work / "controlnet.safetensors"), "--tokenizer", str(work / "tokenizer")]
        arguments += ["--size", str(size)]
        run(commands, "init", [*HANDFIRST, "init", str(work / "checkpoint.safetensors"), str(model), *arguments])
    if not bundle.exists():
        arguments = ["--name", "sd15-random", "--weights", "float32", "--quiet"]
        run(commands, "export", [*HANDFIRST, "export", str(model), str(bundle), *arguments])
    for engine in options.engines:
        run(commands, f"verify on {engine}", [*HANDFIRST, "verify", str(bundle), "--engine", engine])
    pictures = {}
    for engine in options.engines:
        for name, more in ((engine, []), (f"{engine} with --low-memory", ["--low-memory"])):
            pictures[name] = render(commands, name, bundle, work / f"{name}.png", ["--engine", engine, *more])
    graphs = [row for role in Bundle.open(bundle).manifest.engines for row in compare(bundle, role, options)]
    report = {
        "what": f"two-stage model with random weights, {size} x {size}, batch 1 per graph, against torch in float32",
        "graphs": graphs,
        "commands": commands,
        "render_seconds": pictures,
        "peak_memory_bytes": max(entry["peak_memory_bytes"] for entry in commands.values()),
        "export_peak_memory_bytes": commands.get("export", {}).get("peak_memory_bytes"),
        "bundle_bytes": sum(entry.size for entry in Bundle.open(bundle).manifest.files.values()),
        "machine": machine(LIBRARIES),
    }
    atomic_write_bytes(options.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report, indent=1))


def run(commands: dict[str, Any], name: str, command: list[str]) -> str:
    """Runs a command; its seconds and the most memory that it held go into `commands`. Returns what it printed."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    commands[name] = {"seconds": round(time.monotonic() - started, 1), "peak_memory_bytes": peak}
    print(f"{name}: {commands[name]['seconds']} s, {peak / 1e9:.1f} GB", file=sys.stderr, flush=True)
    if process.returncode:
        print(said, file=sys.stderr)
        raise SystemExit(f"{name} failed with exit code {process.returncode}")
    return said


def render(commands: dict[str, Any], name: str, bundle: Path, picture: Path, more: list[str]) -> dict[str, float]:
    """Seconds of the stages of one picture with two steps."""
    arguments = ["--bundle", str(bundle), "--pose", str(POSE), "--prompt", PROMPT, "--out", str(picture), "--json"]
    said = run(commands, f"render on {name}", [*HANDFIRST, "render", *arguments, "--steps", "2", *more])
    seconds: dict[str, float] = json.loads(said)["seconds"]
    return seconds


def compare(folder: Path, role: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One graph on every engine, evaluations interleaved: error against torch and median seconds."""
    bundle = Bundle.open(folder)
    entry, golden = bundle.manifest.engines[role], bundle.golden()
    inputs = {t.name: golden[f"{role}.in.{t.name}"].astype(t.dtype) for t in entry.spec.inputs}
    outputs = {t.name: golden[f"{role}.out.{t.name}"] for t in entry.spec.outputs}
    opened = {name: bundle.engine(role, name) for name in options.engines}
    errors = {name: relative_error(outputs, engine.run(inputs)) for name, engine in opened.items()}  # and a warm-up
    seconds: dict[str, list[float]] = {name: [] for name in opened}
    for _ in range(options.runs):
        for name, engine in opened.items():
            started = time.perf_counter()
            engine.run(inputs)
            seconds[name].append(time.perf_counter() - started)
    for engine in opened.values():
        engine.close()
    print(role, errors, seconds, file=sys.stderr, flush=True)
    return [
        {
            "name": role,
            "precision": "bfloat16" if name == "openvino-bf16" else entry.precision,
            "engine": name,
            "relative_error": float(f"{errors[name]:.3g}"),
            "seconds": round(statistics.median(seconds[name]), 4),
        }
        for name in opened
    ]


def relative_error(expected: dict[str, np.ndarray], got: dict[str, np.ndarray]) -> float:
    """The worst output's |got - expected| / |expected|, Euclidean."""
    return max(
        float(np.linalg.norm(got[name].astype(np.float64) - value) / (np.linalg.norm(value.astype(np.float64)) or 1.0))
        for name, value in expected.items()
    )


def make(work: Path, tiny: bool) -> None:
    """A checkpoint, a ControlNet and a tokenizer as they are downloaded, but for what the weights know."""
    sys.path.insert(0, str(ROOT / "tests"))
    import torch
    from safetensors.torch import save_file
    from support.original_layout import networks, original_checkpoint, original_controlnet, write_tokenizer

    unet, vae, text, controlnet = networks(full=not tiny)
    for name, weights in (
        ("controlnet", original_controlnet(controlnet)),
        ("checkpoint", original_checkpoint(unet, vae, text)),
    ):
        half = {k: v.to(torch.float16) if v.is_floating_point() else v for k, v in weights.items()}
        temporary = work / f".{name}.tmp"
        save_file(half, temporary)
        temporary.rename(work / f"{name}.safetensors")
    write_tokenizer(work / "tokenizer")
    shutil.rmtree(work / "model", ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(Path(sys.argv[2]), "--tiny" in sys.argv)
    else:
        main()
