"""The JSON and the picture that gpu_proof.py writes: rows by part, under the name of the GPU that they are of."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from proof_options import PARTS

LIBRARIES = (
    "torch", "triton", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "tensorrt",
    "cuda-core", "cuda-bindings", "numpy",
)  # fmt: skip


def read_report(options: argparse.Namespace) -> dict[str, Any] | None:
    """What the file holds already, or a new one; None if it is another machine's."""
    from handfirst.runtime.profile.machine import machine

    hardware = hardware_of(options.device)
    fresh = {
        "what": "time and error of every graph against torch; random weights"
        if not options.bundle
        else f"time and error of every graph of the bundle {options.bundle.name} against its golden tensors",
        "size": options.bundle.name if options.bundle else "tiny" if options.tiny else "full",
        "method": "milliseconds: median from call to an idle device, contestants in turn within every round; errors "
        "against torch in float32 without TF32; outputs of 'resident' and torch stay on the device",
        "hardware": hardware,
        "machine": machine(LIBRARIES),
        **{part: [] for part in PARTS},
    }
    try:
        old = json.loads(path_of(options).read_text())
    except (OSError, ValueError):
        return fresh
    same = old.get("hardware") == hardware and old.get("size") == fresh["size"]
    return fresh | {part: old.get(part, []) for part in PARTS} if same else None


def hardware_of(device: str) -> dict[str, Any]:
    """The GPU, its driver and libraries; without one, the processor."""
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


def key(part: str, row: dict[str, Any]) -> tuple[Any, ...]:
    """What a row is about."""
    names = {
        "kernel": ("where",),
        "jobs": ("contestant", "precision", "form", "batch", "steps"),
        "graphs": ("role", "precision", "form", "contestant", "batch"),
    }
    return tuple(row[name] for name in names[part])


def add(report: dict[str, Any], part: str, row: dict[str, Any]) -> None:
    """A row replaces the one that is about the same; others stay."""
    report[part] = [*({key(part, each): each for each in [*report[part], row]}.values())]


def path_of(options: argparse.Namespace) -> Path:
    """Of the JSON."""
    name = options.name
    if name is None:
        words = "tiny-" * options.tiny + (hardware_of("cuda")["name"] if options.device == "cuda" else "cpu")
        name = "-".join(words.lower().split())
    return Path(options.out / f"gpu-{name}.json")


def write(report: dict[str, Any], path: Path) -> None:
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
