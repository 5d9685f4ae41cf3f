"""Adapters of gestures: merged into a graph of its own each, or fed to one graph: time of a step, and megabytes.

    python benchmarks/gesture_adapters.py --base DIR          # -> results/gesture-adapters.json

DIR is a run of `handfirst train demo` or a two-stage model; adapters are random, which changes neither figure.
Processor time of onnxruntime with one thread, the ways taking turns; rows are without and with the prompt, so that two
rows are one picture. Environment: .[train,export,cpu]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from handfirst.engines.engine import Engine
from handfirst.engines.files import atomic_write_bytes
from handfirst.engines.opening import open_engine
from handfirst.engines.spec import EngineSpec
from handfirst.export.examples import example
from handfirst.export.graph_files import read_graph, write_graph
from handfirst.export.part import Part
from handfirst.export.systems.gesture_text.parts import part_makers
from handfirst.export.to_onnx import to_onnx
from handfirst.export.weights import round_weights
from handfirst.runtime.diffusion.settings import GestureSettings
from handfirst.runtime.profile.machine import machine
from handfirst.training.recipe.base import run_base
from handfirst.training.systems.gesture_text.config import Base, new_model
from handfirst.training.systems.gesture_text.fed import FedUNet
from handfirst.training.systems.gesture_text.model_folder import GestureTextFolder
from handfirst.training.systems.two_stage.config import load_config

RESULTS = Path(__file__).parent / "results"
GESTURES = 6
FUSION_RANK = 8


class Told(torch.nn.Module):
    """The UNet alone, as a graph of one gesture would be."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.unet(sample, timestep, encoder_hidden_states=context, return_dict=False)[0]
        return found


def main() -> None:
    """Exports both ways, times them in turns, counts bytes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rows", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        parts = {"merged": None, **{f"fed, rank {rank}": rank for rank in options.ranks}}
        made = {name: build(options.base, Path(work) / str(rank), rank) for name, rank in parts.items()}
        rows: dict[str, Any] = {
            name: {"megabytes_of_6_gestures": round(size / 1e6, 2), "ms": {}} for name, (_, _, size) in made.items()
        }
        for count in options.rows:
            times: dict[str, list[float]] = {name: [] for name in made}
            for _ in range(options.rounds):
                for name, (engine, part, _) in made.items():
                    inputs = example(part, count)
                    began = time.process_time()
                    engine.run(inputs)
                    times[name].append(1000 * (time.process_time() - began))
            ratios = {name: [a / b for a, b in zip(each, times["merged"], strict=True)] for name, each in times.items()}
            for name, each in times.items():
                told = {"median": round(statistics.median(each), 2)}
                told["to_merged"] = round(statistics.median(ratios[name]), 3)
                rows[name]["ms"][f"{count} rows"] = told
    answer = {"rows": rows, "fusion_rank": FUSION_RANK, "rounds": options.rounds, "machine": machine()}
    options.out.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(options.out / "gesture-adapters.json", (json.dumps(answer, indent=1) + "\n").encode())
    print(json.dumps(rows, indent=1))


def build(base: Path, work: Path, rank: int | None) -> tuple[Engine, Part, int]:
    """The engine, its part, and the bytes that six gestures take: graphs, adapters and fusions."""
    begun = run_base(load_config("demo"), base) if (base / "body").is_dir() else Base.of_folder(base)
    new_model(begun, work / "model", rank or 1)
    folder = GestureTextFolder(work / "model")
    part = part_makers(folder)["unet"]()
    if rank is None:
        assert isinstance(part.module, FedUNet)
        spec = EngineSpec(inputs=part.spec.inputs[:3], outputs=part.spec.outputs)
        part = Part("unet", Told(part.module.unet).eval(), spec, part.below)
    round_weights(part.module)
    files = write_graph(to_onnx(part), work, "unet")
    graph = sum((work / name).stat().st_size for name in (files.file, *files.data))
    gesture = GestureSettings(name="ok", words="ok", rank=FUSION_RANK)
    own = folder.settings.values(gesture) - (folder.settings.adapter.values if rank is None else 0)
    size = GESTURES * (graph + 2 * own) if rank is None else graph + GESTURES * 2 * own
    engine = open_engine(read_graph(work, files, "unet", part.spec, "float32"), "cpu", 1)
    engine.run({name: np.asarray(value) for name, value in example(part, 2).items()})
    return engine, part, size


if __name__ == "__main__":
    main()
