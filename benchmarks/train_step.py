"""One optimizer step of the full-size hand generator and of the full-size ControlNet, 512 x 512: memory and time.

    pip install -e '.[train]'
    python benchmarks/train_step.py                       # -> benchmarks/results/train-step.json; needs 20 GB of memory
    python benchmarks/train_step.py --optimizer adafactor --stages hand
    python benchmarks/train_step.py --config demo --out step.json           # tries the script itself in a minute

Random weights in the sizes of Stable Diffusion 1.5 (the configuration sd15); everything else is what `handfirst train`
runs: samples, frozen encoders, losses, activation checkpointing, optimizer. Each stage is a process of its own, so that
its peak memory is its own. Uses a GPU if there is one.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from full_size import machine
from torch.utils.data import default_collate

from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.diffusion.text import token_ids
from handfirst.training.data.example import Example
from handfirst.training.data.procedural.sample import SAMPLERS
from handfirst.training.libraries import quiet
from handfirst.training.loop.optimizer import build_optimizer
from handfirst.training.loop.task import trained_parameters
from handfirst.training.models.autoencoder import build_autoencoder
from handfirst.training.models.encoders import Encoders
from handfirst.training.models.text_encoder import build_text_encoder, train_tokenizer
from handfirst.training.systems.two_stage.config import TrainingConfig, load_config
from handfirst.training.systems.two_stage.networks import body_task, hand_task, new_body, new_hand
from handfirst.training.systems.two_stage.options import BodyOptions, FineTuneOptions, HandOptions
from handfirst.training.systems.two_stage.samples import BodySamples, HandSamples
from handfirst.training.systems.two_stage.stages import BodyStage, HandStage, OnShards

RESULT = Path(__file__).parent / "results" / "train-step.json"
LIBRARIES = ("handfirst", "torch", "diffusers")


def main() -> None:
    """Runs every stage in its own process and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", choices=["hand", "body"], default=["hand", "body"])
    parser.add_argument("--config", default="sd15", help="training configuration whose networks are built")
    parser.add_argument("--optimizer", choices=["adamw", "adafactor"], default="adamw")
    parser.add_argument("--precision", choices=["no", "bf16"], default="bf16")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--keep-activations", action="store_true", help="no activation checkpointing")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--alone", choices=["hand", "body"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        quiet()
        print(json.dumps(measure(arguments.alone, arguments)))
        return
    stages = []
    for stage in arguments.stages:
        print(f"{stage} ...", file=sys.stderr, flush=True)
        command = [sys.executable, __file__, *sys.argv[1:], "--alone", stage]
        stages.append(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))
    report = {
        "what": f"optimizer steps with random weights of {arguments.config}, batch {arguments.batch}",
        "stages": stages,
        "machine": machine(LIBRARIES),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(arguments.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report, indent=1))


def measure(stage: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Builds one stage and takes its steps; seconds, bytes, losses before and after."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shared = {
        "optimizer": arguments.optimizer,
        "precision": arguments.precision,
        "batch": arguments.batch,
        "checkpoint_activations": not arguments.keep_activations,
    }
    config = load_config(arguments.config)
    torch.manual_seed(0)
    built_stage, samples, options = build(stage, config, shared)
    built = peak()
    task, encoders = built_stage.task.to(device), built_stage.encoders.to(device)
    parameters = [*task.parameters(), *encoders.parameters()]
    samples = {name: tensor.to(device) for name, tensor in samples.items()}
    trained = [p for p in task.parameters() if p.requires_grad]
    optimizer = build_optimizer(task, options)
    losses, seconds = [], []
    for _ in range(arguments.steps):
        started = time.monotonic()
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.precision == "bf16"):
            loss = torch.stack(list(built_stage.losses(samples).values())).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        seconds.append(round(time.monotonic() - started, 2))
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=arguments.precision == "bf16"):
        losses.append(torch.stack(list(built_stage.losses(samples).values())).sum().item())
    size = config.settings.hand.size if stage == "hand" else config.settings.body.height
    return {
        "stage": stage,
        "size": size,
        **shared,
        "trained_parameters": trained_parameters(task),
        "frozen_parameters": sum(p.numel() for p in parameters if not p.requires_grad),
        "seconds_per_step": seconds,
        "peak_memory_bytes": peak(),
        "peak_memory_of_building_bytes": built,
        "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
        "device": device.type,
        "losses": losses,
    }


def build(
    stage: str, config: TrainingConfig, shared: dict[str, Any]
) -> tuple[OnShards, dict[str, torch.Tensor], FineTuneOptions]:
    """A stage with fresh weights, a batch of rendered samples, and its options."""
    settings = config.settings
    tokenizer = train_tokenizer(["a hand", "a person"], 300)  # only the ids' number matters to random weights
    text = build_text_encoder(
        config.text_encoder, settings.text.length, settings.text.width, config.text_encoder_training["vocabulary"]
    )
    encoders = Encoders(build_autoencoder(config.autoencoder), text, settings.latent)
    empty = torch.from_numpy(token_ids(tokenizer, "", settings.text)[0])[None]
    rng = np.random.default_rng(0)
    if stage == "hand":
        of_hands = HandOptions(**shared)
        built: OnShards = HandStage(hand_task(new_hand(config), settings, of_hands), encoders, settings, empty)
        make: HandSamples | BodySamples = HandSamples(settings, of_hands, tokenizer)
        options: FineTuneOptions = of_hands
    else:
        options = of_bodies = BodyOptions(**shared)
        body = new_body(config)
        built = BodyStage(body_task(body.unet, body.controlnet, settings, of_bodies), encoders, settings, empty)
        make = BodySamples(settings, of_bodies, tokenizer)
    examples = [rendered("hand" if stage == "hand" else "person", seed) for seed in range(shared["batch"])]
    return built, default_collate([make.draw(example, rng) for example in examples]), options


def rendered(kind: str, seed: int) -> Example:
    """A small procedural picture; the samples enlarge it."""
    sample = SAMPLERS[kind](seed, 64)
    return Example(str(seed), sample.rgb, sample.hands, sample.keypoints, sample.caption)


def peak() -> int:
    """The most memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
