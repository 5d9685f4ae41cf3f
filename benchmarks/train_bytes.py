"""What a step of the paper's trainings takes, byte by byte, and what the loop would choose for it; no GPU is needed.

    python benchmarks/train_bytes.py                  # -> benchmarks/results/train-bytes.json; a few minutes of a core
    python benchmarks/train_bytes.py --config demo --real --out bytes.json   # the same count of real tensors, beside it

The networks have their full width, the shipped configurations their options, and every tensor that a step makes, from
the encoders to the last gradient, is counted while it lives, by the counter that chooses parts of a batch
(training/loop/memory.py). But the tensors are torch's fake ones: shapes and types without contents. Norms compute in
float32, as autocast has it on a GPU.

Not in it, as only a GPU can show it: workspaces of cuDNN and cuBLAS, what its allocator loses between blocks, kernels
that keep more or less than those of a CPU (attention), and NCCL's buffers. There the loop measures for itself; the line
"memory: ..." of `handfirst train` and "peak_memory_gb" of the journal are to be held against this file, or

    python benchmarks/train_step.py --batch 4 --keep-activations     # "peak_gpu_memory_bytes"
"""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from full_size import machine
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional
from train_step import build

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_write_bytes
from handfirst.training.libraries import quiet
from handfirst.training.loop.config import load_options
from handfirst.training.loop.kernels import compute_as_asked
from handfirst.training.loop.memory import ROOM, Need, choose, compute_twice, measured
from handfirst.training.loop.options import ShardOptions
from handfirst.training.systems import stages_of
from handfirst.training.systems.two_stage.config import load_config

RESULT = Path(__file__).parent / "results" / "train-bytes.json"
GPUS = {"A100 80 GB": 84.9e9, "A100 40 GB": 42.3e9, "RTX 4090 24 GB": 25.3e9}
"""Bytes that torch reports of each (79.1, 39.4, 23.6 GiB), less .2 GB of context."""


def main() -> None:
    """Counts both stages, chooses for every GPU, writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="sd15", help="training configuration whose networks are built")
    parser.add_argument("--stages", nargs="+", choices=["hand", "body"], default=["hand", "body"])
    parser.add_argument("--real", action="store_true", help="count tensors that are there: for small networks")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    quiet()
    report = {
        "what": f"bytes of a step with the networks of {arguments.config} and the options of paper-hand and paper-body",
        "tensors": "real" if arguments.real else "fake",
        "room": ROOM,
        "stages": {stage: count(stage, arguments.config, arguments.real) for stage in arguments.stages},
        "machine": machine(("handfirst", "torch", "diffusers")),
    }
    atomic_write_bytes(arguments.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report, indent=1))


def count(stage: str, config: str, real: bool) -> dict[str, Any]:
    """One stage: what is there before a step, what a step adds, and what follows for each GPU."""
    kind = stages_of("two-stage")[stage]
    paper: ShardOptions = load_options(kind.options, kind.configs, "paper", {})
    shared = {"precision": paper.precision, "optimizer": paper.optimizer, "batch": 1}
    with nullcontext() if real else torch.device("meta"):
        built, samples, _ = build(stage, load_config(config), shared)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    if not real:
        samples = {name: fake(tensor, mode) for name, tensor in samples.items()}
        for module in (*built.task.modules(), *built.encoders.modules()):
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    module._parameters[name] = nn.Parameter(fake(parameter.detach(), mode), parameter.requires_grad)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = fake(buffer, mode)
    with nullcontext() if real else mode:
        compute_as_asked(built.task, paper)
        norms_as_on_a_gpu(built.task)
        trained = sum(p.numel() for p in built.task.parameters() if p.requires_grad)
        held = {
            "trained_weights": 4 * trained,
            "frozen_weights": size(p for p in built.task.parameters() if not p.requires_grad),
            "encoders": size([*built.encoders.parameters(), *built.encoders.buffers()]),
            "gradients": 4 * trained,
            "adam_moments": 8 * trained,
            "average": 4 * trained,
        }
        accelerator = Accelerator(cpu=True, mixed_precision="bf16" if paper.precision == "bf16" else "no")

        def batch(some: int) -> Any:
            return built.encode(
                {name: tensor.repeat(some, *[1] * (tensor.ndim - 1)) for name, tensor in samples.items()}
            )

        def needs(twice: bool) -> Need:
            compute_twice(built.task, twice)
            need = measured(built.task, batch, paper, accelerator)
            return Need(need.fixed + held["encoders"], need.sample)

        found = {twice: needs(twice) for twice in (False, True)}
    ways = {
        "kept" if not twice else "computed_twice": {
            "a_sample": need.sample,
            "beside_samples": need.fixed,
            "of_which_neither_weights_nor_state": need.fixed - sum(held.values()),
        }
        for twice, need in found.items()
    }
    fits = {}
    for gpu, there in GPUS.items():
        for processes in (1, 8):
            extra = 4 * trained if processes > 1 else 0  # the gradients that processes exchange
            with_extra = {twice: Need(need.fixed + extra, need.sample) for twice, need in found.items()}
            try:
                said = choose(paper.batch // processes, with_extra.__getitem__, int(ROOM * there), None, None).said
            except UserError as error:
                said = str(error)
            fits[f"{processes} x {gpu}"] = said
    return {"trained_parameters": trained, "held_bytes": held, "activations": ways, "batch": paper.batch, "fits": fits}


def fake(tensor: Tensor, mode: FakeTensorMode) -> Tensor:
    """Its shape and type, which pass for a CPU's."""
    return FakeTensor(mode, tensor.to("meta"), torch.device("cpu"))


def size(tensors: Any) -> int:
    """Bytes."""
    return sum(tensor.nbytes for tensor in tensors)


def norms_as_on_a_gpu(module: nn.Module) -> None:
    """In float32, weights and all, as autocast has it on a GPU and not on a CPU."""
    for layer in module.modules():
        if isinstance(layer, nn.LayerNorm):
            layer.forward = partial(_layer_norm, layer)  # type: ignore[method-assign]
        if isinstance(layer, nn.GroupNorm):
            layer.forward = partial(_group_norm, layer)  # type: ignore[method-assign]


def _layer_norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    return functional.layer_norm(x.float(), layer.normalized_shape, _wide(layer.weight), _wide(layer.bias), layer.eps)


def _group_norm(layer: nn.GroupNorm, x: Tensor) -> Tensor:
    return functional.group_norm(x.float(), layer.num_groups, _wide(layer.weight), _wide(layer.bias), layer.eps)


def _wide(weight: Tensor | None) -> Tensor | None:
    return None if weight is None else weight.float()


if __name__ == "__main__":
    main()
