"""What the options of speed do to a training step: attention, TF32, compilation; in turns, in one process.

    python benchmarks/train_options.py                 # -> benchmarks/results/train-options.json; a minute of a core
    python benchmarks/train_options.py --compile             # minutes more: torch compiles the networks first
    python benchmarks/train_options.py --config sd15 --batch 8 --compile       # on a GPU, where TF32 means something
    python benchmarks/train_options.py --config sd15 --no-waits                # on a GPU: a step that waits is an error

A step is forward, back, clipping and AdamW, of a stage with random weights. Process time on a CPU, the wall on a GPU;
that of the first step says what compiling costs. A run takes the place of an earlier one of the same kind in the file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from full_size import machine
from train_step import build

from handfirst.engines.files import atomic_write_bytes
from handfirst.training.libraries import quiet
from handfirst.training.loop.kernels import attention_of, compute_as_asked
from handfirst.training.loop.machine import training_seconds
from handfirst.training.loop.optimizer import Average, build_optimizer
from handfirst.training.systems.two_stage.config import load_config

RESULT = Path(__file__).parent / "results" / "train-options.json"


def main() -> None:
    """Builds one stage once for each way, takes steps in turns, writes medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=["hand", "body"], default="hand")
    parser.add_argument("--config", default="demo")
    parser.add_argument("--precision", choices=["no", "bf16"], default="no")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--no-waits", action="store_true", help="on a GPU: a step that makes the host wait is an error")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    quiet()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ways: dict[str, dict[str, Any]] = {"sdpa": {}, "plain": {"attention": "plain"}}
    if device.type == "cuda":
        ways["tf32"] = {"tf32": True}
    if arguments.compile:
        ways["compiled"] = {"compile": True}
    steps = {name: Step(arguments, device, changes) for name, changes in ways.items()}
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(arguments.rounds + 1):
        for name, step in steps.items():
            spent[name].append(step(arguments.no_waits and number > 0))
    first = {name: times.pop(0) for name, times in spent.items()}  # it warms up, and compiles
    medians = {name: statistics.median(times) for name, times in spent.items()}
    report = {
        "what": f"a step of the {arguments.stage} stage of {arguments.config}, {arguments.precision}",
        "batch": arguments.batch,
        "rounds": arguments.rounds,
        "first_step_seconds": {name: round(value, 1) for name, value in first.items()},
        "seconds": {name: round(value, 4) for name, value in medians.items()},
        "time_over_sdpa": {name: round(value / medians["sdpa"], 3) for name, value in medians.items()},
        "device": device.type,
        "machine": machine(("handfirst", "torch", "diffusers")),
    }
    runs = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
    kind = ("what", "batch", "device")
    runs = [run for run in runs if any(run[name] != report[name] for name in kind)] + [report]
    atomic_write_bytes(arguments.out, (json.dumps(runs, indent=1) + "\n").encode())
    print(json.dumps(report, indent=1))


class Step:
    """One way of taking a step; called, it takes one and says how long it took."""

    def __init__(self, arguments: argparse.Namespace, device: torch.device, changes: dict[str, Any]) -> None:
        torch.manual_seed(0)
        shared = {"precision": arguments.precision, "batch": arguments.batch, **changes}
        self.stage, samples, self.options = build(arguments.stage, load_config(arguments.config), shared)
        self.device = device
        self.stage.task.to(device).train()
        self.stage.encoders.to(device)
        compute_as_asked(self.stage.task, self.options)
        self.samples = {name: tensor.to(device) for name, tensor in samples.items()}
        self.trained = [p for p in self.stage.task.parameters() if p.requires_grad]
        self.optimizer = build_optimizer(self.stage.task, self.options)
        self.average = Average(self.trained, self.options.ema)

    def __call__(self, no_waits: bool) -> float:
        torch.backends.cuda.matmul.allow_tf32 = self.options.tf32
        torch.backends.cudnn.allow_tf32 = self.options.tf32
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.set_sync_debug_mode("error" if no_waits else "default")
        began = training_seconds(self.device)
        with attention_of(self.options):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
                loss = torch.stack(list(self.stage.losses(self.samples).values())).sum()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update()
        if self.device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
            torch.cuda.synchronize()
            return time.monotonic() - began
        return training_seconds(self.device) - began


if __name__ == "__main__":
    main()
