"""Every graph on an NVIDIA GPU, against torch on the same GPU: is it right, and how fast is it?

    pip install -e '.[export,cuda]' matplotlib
    python benchmarks/gpu_proof.py                          # full size -> benchmarks/results/gpu-<name>.json and .png
    python benchmarks/gpu_proof.py --device cpu --tiny      # tries the script itself, without a GPU, in two minutes

Each graph is exported from random weights in Stable Diffusion 1.5's sizes (or taken from a bundle: --bundle), run by
onnxruntime's CUDA provider (and by TensorRT where it is installed), and compared with torch in float32 with TF32 off.
The same module in the same precision races in torch, eager and compiled, in turn with the others. Results are written
after every graph and added to what the file holds, so a run that is cut off keeps what it has, and one role at a time
is as good as all at once. The figures do not depend on what the weights know. What to carry to a machine without a
package index: benchmarks/README.md. Exit code 2: no GPU, or arguments that make no sense. Has not run on a GPU yet.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LIBRARIES = (
    "torch", "triton", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "tensorrt",
    "numpy",
)  # fmt: skip
PRECISIONS = ("float32", "float16", "bfloat16")


def main() -> int:
    """Runs the proof; returns the exit code."""
    options = _options()
    if complaint := _complaint(options):
        print(complaint, file=sys.stderr)
        return 2
    from proof_model import free_memory, honest_float32
    from proof_race import Rules, race

    honest_float32()
    deadline = time.monotonic() + 60 * options.minutes
    rules = Rules(
        options.device, options.rounds, options.compile_backend, options.compile_mode, not options.no_compile,
        options.nhwc, deadline,
    )  # fmt: skip
    report = _report(options)
    if report is None:
        print(f"{_out(options)} holds another machine's results; give another --name", file=sys.stderr)
        return 2
    for subject in _subjects(options):
        print(f"{subject.role} in {subject.precision} ...", flush=True)
        _add(report, race(subject, rules))
        _write(report, _out(options))
        del subject  # one graph at a time
        free_memory()
        if time.monotonic() > deadline:
            print("the time is up; what follows is left out", flush=True)
            break
    print(f"{_out(options)}: {len(report['graphs'])} rows")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="the tests' tiny model instead of full size")
    parser.add_argument("--bundle", type=Path, help="take graphs, inputs and reference from a bundle")
    parser.add_argument("--model", type=Path, help="with --bundle: the folder that it was exported from, for torch")
    parser.add_argument("--roles", nargs="+", help="some graphs only; default: all, the heaviest first")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, help="default: all; float32 on the CPU")
    parser.add_argument("--batch", type=int, default=2, help="2 is guidance of one picture")
    parser.add_argument("--rounds", type=int, default=20, help="timed runs of each contestant")
    parser.add_argument("--minutes", type=float, default=60, help="nothing new is begun after that")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--compile-backend", help="default: inductor; aot_eager on the CPU, which needs no compiler")
    parser.add_argument("--compile-mode", help="for example reduce-overhead (CUDA graphs) or max-autotune")
    parser.add_argument("--nhwc", action="store_true", help="onnxruntime once more with channels last")
    parser.add_argument("--name", help="of the results; default: the GPU's")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    options.compile_backend = options.compile_backend or ("inductor" if options.device == "cuda" else "aot_eager")
    options.precisions = options.precisions or (PRECISIONS if options.device == "cuda" else PRECISIONS[:1])
    return options


def _complaint(options: argparse.Namespace) -> str | None:
    """Why nothing can be run, in one line."""
    from proof_model import ROLES

    if unknown := [role for role in options.roles or () if role not in ROLES]:
        return f"no role {', '.join(unknown)}; there are {', '.join(ROLES)}"
    if options.model and not options.bundle:
        return "--model is the folder that a bundle was exported from; give --bundle too"
    if options.device == "cpu":
        small = options.tiny or options.bundle
        return None if small else "full size takes hours on a CPU; add --tiny, or use --device cuda"
    import torch

    if not torch.cuda.is_available():
        return "torch finds no NVIDIA GPU here; to try the script itself: --device cpu --tiny"
    return None


def _subjects(options: argparse.Namespace) -> Iterator[Any]:
    """One graph at a time; nothing here holds on to one."""
    from proof_model import ROLES, RandomModel, TinyModel, exported, from_bundle

    from handfirst.engines.bundle import Bundle

    model = None if options.bundle else TinyModel() if options.tiny else RandomModel(options.device)
    for role in options.roles or ROLES:
        if model is None:
            yield from_bundle(Bundle.open(options.bundle), role, options.model)
        else:
            yield from exported(model, role, options.precisions, options.batch, options.device)


def _report(options: argparse.Namespace) -> dict[str, Any] | None:
    """What the file holds already, or a new one; None if it is another machine's."""
    from handfirst.runtime.profile.machine import machine

    hardware = _hardware(options.device)
    fresh = {
        "what": "time and error of every graph against torch; random weights"
        if not options.bundle
        else f"time and error of every graph of the bundle {options.bundle.name} against its golden tensors",
        "size": options.bundle.name if options.bundle else "tiny" if options.tiny else "full",
        "method": "milliseconds: median from call to an idle device, contestants in turn within every round; errors "
        "against torch in float32 without TF32; outputs of 'resident' and torch stay on the device",
        "hardware": hardware,
        "machine": machine(LIBRARIES),
        "graphs": [],
    }
    try:
        old = json.loads(_out(options).read_text())
    except (OSError, ValueError):
        return fresh
    same = old.get("hardware") == hardware and old.get("size") == fresh["size"]
    return fresh | {"graphs": old["graphs"]} if same else None


def _hardware(device: str) -> dict[str, Any]:
    import torch

    if device == "cpu":
        from handfirst.runtime.profile.machine import machine

        return {"name": machine(())["cpu"], "device": "cpu"}
    properties = torch.cuda.get_device_properties(0)
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        driver = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        driver = None
    return {
        "name": properties.name,
        "device": "cuda",
        "memory_bytes": properties.total_memory,
        "capability": f"{properties.major}.{properties.minor}",
        "driver": driver,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _add(report: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """A row replaces the one of the same graph, precision, contestant and batch; others stay."""

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["role"], row["precision"], row["contestant"], row["batch"]

    report["graphs"] = [*({key(row): row for row in [*report["graphs"], *rows]}.values())]


def _out(options: argparse.Namespace) -> Path:
    name = options.name
    if name is None:
        words = "tiny-" * options.tiny + (_hardware("cuda")["name"] if options.device == "cuda" else "cpu")
        name = "-".join(words.lower().split())
    return Path(options.out / f"gpu-{name}.json")


def _write(report: dict[str, Any], path: Path) -> None:
    """The JSON first: it is what counts. The picture is left out where matplotlib is not installed."""
    from handfirst.engines.files import atomic_write_bytes

    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(path, (json.dumps(report, indent=1) + "\n").encode())
    try:
        from proof_picture import picture
    except ImportError:
        print("no picture: matplotlib is not installed", file=sys.stderr)
        return
    atomic_write_bytes(path.with_suffix(".png"), picture(report))


if __name__ == "__main__":
    sys.exit(main())
