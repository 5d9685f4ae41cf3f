"""One contender of peers.py in a process of its own, so that its memory is its own; it works when it is asked to.

    python benchmarks/peers_child.py NAME FOLDER THREADS

On standard input a job a line, on standard output what came of it; the latents go into the file that the line names.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from peers_model import Job, Model


@dataclass(frozen=True)
class Contender:
    """What may take part."""

    opens: Callable[[Model, int], Any]
    """(model, threads) -> what has `run(inputs, mark)`; imports its libraries."""
    needs: tuple[str, ...]
    """Modules without which it is absent."""
    install: str
    """What brings them."""
    bare: str | None = None
    """The contender that makes the same calls without it."""
    note: str = ""
    """What it does otherwise than the others."""
    only: str | None = None
    """The one size of weights that it takes."""


def _handfirst(engine: str, speed: str = "exact") -> Callable[[Model, int], Any]:
    def opens(model: Model, threads: int) -> Any:
        from peers_own import Handfirst

        return Handfirst(model, threads, engine, speed)  # type: ignore[arg-type]

    return opens


def _bare(library: str, guided: bool = True) -> Callable[[Model, int], Any]:
    def opens(model: Model, threads: int) -> Any:
        from peers_own import Bare

        return Bare(model, threads, library, guided)

    return opens


def _diffusers(dtype: str, compiled: bool = False, interval: int = 1) -> Callable[[Model, int], Any]:
    def opens(model: Model, threads: int) -> Any:
        import torch
        from peers_torch import Diffusers

        return Diffusers(model, threads, getattr(torch, dtype), compiled, interval)

    return opens


def _genai(model: Model, threads: int) -> Any:
    from peers_genai import GenAI

    return GenAI(model, threads)


def _sdcpp(model: Model, threads: int) -> Any:
    from peers_sdcpp import StableDiffusionCpp

    return StableDiffusionCpp(model, threads)


TORCH = ("torch", "diffusers"), "pip install 'handfirst[export]'"
ORT = ("onnxruntime",), "pip install 'handfirst[cpu]'"
OPENVINO = ("openvino",), "pip install 'handfirst[openvino]'"
REFERENCE, AGAINST = "diffusers float32", "diffusers bfloat16"
"""Whose latents the others' are held against; whose time."""

CONTENDERS: dict[str, Contender] = {
    REFERENCE: Contender(_diffusers("float32"), *TORCH),
    AGAINST: Contender(_diffusers("bfloat16"), *TORCH, note="channels last"),
    "torch.compile bfloat16": Contender(
        _diffusers("bfloat16", compiled=True), *TORCH, note="channels last; the first run compiles"
    ),
    "DeepCache bfloat16": Contender(
        _diffusers("bfloat16", interval=3),
        ("torch", "diffusers", "DeepCache"),
        "pip install --no-deps DeepCache",
        note="an approximation: the whole UNet in every third step, the ControlNet in all",
    ),
    "onnxruntime bare": Contender(_bare("onnxruntime"), *ORT),
    "openvino-bf16 bare": Contender(_bare("openvino-bf16"), *OPENVINO),
    "openvino-bf16 bare, UNet alone": Contender(
        _bare("openvino-bf16", guided=False), *OPENVINO, note="no ControlNet: for the ones that have none"
    ),
    "handfirst cpu": Contender(_handfirst("cpu"), *ORT, bare="onnxruntime bare"),
    "handfirst cpu fast": Contender(_handfirst("cpu", "fast"), *ORT, note="an approximation"),
    "handfirst cpu fastest": Contender(_handfirst("cpu", "fastest"), *ORT, note="an approximation"),
    "handfirst openvino-bf16": Contender(_handfirst("openvino-bf16"), *OPENVINO, bare="openvino-bf16 bare"),
    "handfirst openvino-bf16 fast": Contender(_handfirst("openvino-bf16", "fast"), *OPENVINO, note="an approximation"),
    "handfirst openvino-bf16 fastest": Contender(
        _handfirst("openvino-bf16", "fastest"), *OPENVINO, note="an approximation"
    ),
    "OpenVINO GenAI bfloat16": Contender(
        _genai,
        ("openvino_genai", "openvino_tokenizers"),
        "pip install openvino-genai openvino-tokenizers",
        bare="openvino-bf16 bare, UNet alone",
        note="has no ControlNet: the UNet alone, and a text encoder and a decoder as small as can be",
    ),
    "stable-diffusion.cpp": Contender(
        _sdcpp,
        ("stable_diffusion_cpp",),
        "pip install stable-diffusion-cpp-python",
        note="float16 weights; with a text encoder and a decoder of full size, which its steps do not hold",
        only="full",
    ),
}


def main() -> None:
    """Opens, then answers until there is nothing more to read."""
    name, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print are no answers

    def say(**fields: Any) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    contender = CONTENDERS[name]
    if absent := [module for module in contender.needs if find_spec(module) is None]:
        say(absent=f"{', '.join(absent)} not installed", command=contender.install)
        return
    model, processor = Model(folder), time.process_time()
    try:
        opened = contender.opens(model, threads)
    except Exception as error:
        say(absent=f"{type(error).__name__}: {error}"[:300], command=contender.install)
        return
    say(open_processor_seconds=round(time.process_time() - processor, 3))
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            say(**timed(opened, model, Job(**asked["job"]), Path(asked["out"])))
        except Exception as error:
            say(failed=f"{type(error).__name__}: {error}"[:300])


def timed(opened: Any, model: Model, job: Job, out: Path) -> dict[str, Any]:
    """One run; `steps` are processor seconds from the end of one step to that of the next."""
    inputs = model.inputs(job)
    assert inputs.requests and inputs.hint.size  # the job's own arrays are drawn before the clock starts
    marks: list[float] = []
    wall, processor = time.perf_counter(), time.process_time()
    latents = opened.run(inputs, lambda: marks.append(time.process_time()))
    found = {"seconds": time.perf_counter() - wall, "processor_seconds": time.process_time() - processor}
    if latents is not None:
        np.save(out, latents)
    return {**found, "steps": np.diff([processor, *marks]).tolist(), **memory()}


def memory() -> dict[str, int]:
    """Bytes of this process: now, and at most so far."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"memory_bytes": pages * resource.getpagesize(), "peak_memory_bytes": most}


if __name__ == "__main__":
    main()
