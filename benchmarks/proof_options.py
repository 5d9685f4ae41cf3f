"""What gpu_proof.py may be told on its command line, and why nothing can be run."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PRECISIONS = ("float32", "float16", "bfloat16")
PARTS = ("kernel", "jobs", "graphs")
FORMS = {"plain": None, "opset 23": 23}


@dataclass(frozen=True)
class Item:
    """What is measured in a process of its own: the kernel, a contestant's jobs, or a role's graphs."""

    part: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.part}:{self.name}"


def read_options(description: str | None) -> argparse.Namespace:
    """The command line's, with the defaults that depend on others."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="the tests' tiny model instead of full size")
    parser.add_argument("--bundle", type=Path, help="take graphs, inputs and reference from a bundle")
    parser.add_argument("--model", type=Path, help="with --bundle: the folder that it was exported from, for torch")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="in this order; default: all")
    parser.add_argument("--again", action="store_true", help="measure rows that are there already once more")
    parser.add_argument("--graphs", type=Path, help="folder where exported graphs stay for the next command")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8], help="of jobs: pictures at once")
    parser.add_argument("--steps", type=int, help="of a job's stages; twice as many are timed too")
    parser.add_argument("--job-precision", choices=PRECISIONS, help="default: float16; float32 on the CPU")
    parser.add_argument("--job-rounds", type=int, default=3, help="timed jobs of each kind")
    parser.add_argument("--roles", nargs="+", help="some graphs only; default: all, the heaviest first")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, help="default: all; float32 on the CPU")
    parser.add_argument("--batch", type=int, default=2, help="2 is guidance of one picture")
    parser.add_argument("--rounds", type=int, default=20, help="timed runs of each contestant")
    parser.add_argument("--minutes", type=float, default=7, help="nothing new is begun after that")
    parser.add_argument("--patience", type=float, default=4, metavar="MINUTES", help="without a word from a process")
    parser.add_argument("--again-cut-off", action="store_true", help="what was cut off once more")
    parser.add_argument("--form", choices=FORMS, help="of half precision; default: opset 23, and plain on the CPU")
    parser.add_argument("--hang", metavar="NAME", help="a contestant of the graphs that shall wait for ever")
    parser.add_argument("--one-process", action="store_true", help="all in this one, and nothing is cut off")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--compile-backend", help="default: inductor; aot_eager on the CPU, which needs no compiler")
    parser.add_argument("--compile-mode", help="for example reduce-overhead (CUDA graphs) or max-autotune")
    parser.add_argument("--nhwc", action="store_true", help="onnxruntime once more with channels last")
    parser.add_argument("--name", help="of the results; default: the GPU's")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--item", type=read_item, help=argparse.SUPPRESS)
    parser.add_argument("--seen", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tell", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.compile_backend = options.compile_backend or ("inductor" if options.device == "cuda" else "aot_eager")
    options.precisions = options.precisions or (PRECISIONS if options.device == "cuda" else PRECISIONS[:1])
    options.form = options.form or ("opset 23" if options.device == "cuda" else "plain")
    options.job_precision = options.job_precision or ("float16" if options.device == "cuda" else "float32")
    options.steps = options.steps or (2 if options.tiny else 20)
    if options.bundle:
        options.parts, options.form = ["graphs"], "as in the bundle"
    return options


def read_item(text: str) -> Item:
    """As Item is written."""
    part, _, name = text.partition(":")
    return Item(part, name)


def complaint(options: argparse.Namespace) -> str | None:
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


def with_fields(options: argparse.Namespace, **fields: Any) -> argparse.Namespace:
    """The options with other values for some."""
    return argparse.Namespace(**{**vars(options), **fields})
