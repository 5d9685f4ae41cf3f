"""RealisHuman's public layout at full size on random weights: read, every graph exported, one at a time, and a repair.

    pip install -e '.[export,cpu,openvino]'
    python benchmarks/realishuman_size.py WORK_FOLDER     # -> benchmarks/results/realishuman-size.json

Writes checkpoints and base models as the public page lays them out, makes a model of them (`handfirst init
realishuman`), then for each role exports its graph and holds it against torch; then exports all of them as a bundle
and repairs one hand of a photo with it, on each engine with all networks in memory and with those of one stage at a
time. Each of these is a process of its own, so that its peak memory is its own, and none is done twice: run again it
goes on. 24 GB of memory (12 without the repairs) and 45 GB of disk. Seconds are of the clock, and of the processor
alone.

A repair is run twice, with fewer and with more steps: the difference is what a step takes, the rest is what every
repair takes whatever its steps. The figures do not depend on what the weights know; the picture is noise.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from full_size import HANDFIRST, POSE, ROOT, run
from PIL import Image

from handfirst.engines.choice import TOLERANCE
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.profile.machine import machine

RESULT = Path(__file__).parent / "results" / "realishuman-size.json"
ROLES = ("text_encoder", "image_encoder", "pose_guider", "vae_encoder", "reference_unet", "main_unet", "inpaint_unet",
         "vae_decoder")  # fmt: skip
FILES = ("stage1", "stage2", "bases")
ALLOWED = 12e9
FEW, MORE = 2, 4
"""Steps of either stage of the two repairs."""


def main() -> None:
    """Does what is not done yet, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder of the public files, the model, and what is known by now")
    parser.add_argument("--tiny", action="store_true", help="narrow networks: tries the script itself")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--make", choices=FILES, help=argparse.SUPPRESS)
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument(
        "--engines", nargs="*", default=["cpu", "openvino-bf16"], help="of the repairs; none: no repair"
    )
    options = parser.parse_args()
    if options.make:
        make(options.work / "public", options.make, not options.tiny)
        return
    if options.role:
        print("\n" + json.dumps(export(options.work, options.role)))
        return
    measure(options)
    print(options.out.read_text())


def measure(options: argparse.Namespace) -> None:
    """What is not known yet; the figures are written as soon as they are there, those that are missing as such."""
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    file = work / "known.json"
    known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"commands": {}, "graphs": {}}
    commands: dict[str, Any] = known["commands"]
    itself = [sys.executable, __file__, str(work), *(["--tiny"] * options.tiny)]

    def keep() -> None:
        atomic_write_bytes(file, json.dumps(known).encode())
        atomic_write_bytes(options.out, (json.dumps(report(known, options.tiny), indent=1) + "\n").encode())

    for name in FILES:
        if f"write {name}" not in commands:
            run(commands, f"write {name}", [*itself, "--make", name])
            keep()
    if "init" not in commands:
        shutil.rmtree(work / "model", ignore_errors=True)
        run(commands, "init", [*HANDFIRST, "init", "realishuman", str(work / "public"), str(work / "model")])
        keep()
    for role in ROLES:
        if role not in known["graphs"]:
            said = run(commands, f"export {role}", [*itself, "--role", role])
            known["graphs"][role] = json.loads(said.splitlines()[-1])
            keep()
    if options.engines and "export bundle" not in commands:
        shutil.rmtree(work / "bundle", ignore_errors=True)
        line = [*HANDFIRST, "export", str(work / "model"), str(work / "bundle"), "--name", "realishuman-random"]
        run(commands, "export bundle", [*line, "--quiet"])
        keep()
    for engine in options.engines:
        for name, more in ((engine, []), (f"{engine}, low memory", ["--low-memory"])):
            repairs = known.setdefault("repairs", {})
            if name not in repairs:
                repairs[name] = repair(commands, name, work, ["--engine", engine, *more])
                keep()


def repair(commands: dict[str, Any], name: str, work: Path, more: list[str]) -> dict[str, dict[str, float]]:
    """Seconds by stage of a repair of one hand: "fixed", which every repair takes, and "step", each step on top."""
    photo = work / "photo.png"
    if not photo.exists():
        rows, columns = np.mgrid[0:512, 0:512] // 2
        Image.fromarray(np.stack([rows, columns, 255 - rows], -1).astype(np.uint8)).save(photo)
    told = []
    for steps in (FEW, MORE):
        line = [*HANDFIRST, "repair", str(photo), "-o", str(work / "repaired.png"), "--bundle", str(work / "bundle")]
        line += ["--pose", str(POSE), "--hand", "left", "--steps", str(steps), "--json", *more]
        told.append(json.loads(run(commands, f"repair on {name}, {steps} steps", line))["seconds"])
    few, many = told
    step = {stage: (many[stage] - few[stage]) / (MORE - FEW) for stage in few}
    return {
        "fixed": {stage: round(few[stage] - FEW * step[stage], 2) for stage in few},
        "step": {stage: round(each, 2) for stage, each in step.items()},
    }


def report(known: dict[str, Any], tiny: bool) -> dict[str, Any]:
    """What is known by now."""
    alone = [f"write {name}" for name in FILES] + ["init"] + [f"export {role}" for role in ROLES]
    peak = max(known["commands"][name]["peak_memory_bytes"] for name in alone if name in known["commands"])
    return {
        "what": f"RealisHuman's public layout, random weights, {'narrow' if tiny else 'of the real sizes'}",
        **known,
        "not_measured": [role for role in ROLES if role not in known["graphs"]],
        "peak_memory_bytes": peak,
        "within_12_gb": peak <= ALLOWED,
        "graph_bytes": sum(graph["bytes"] for graph in known["graphs"].values()),
        "machine": machine(
            ("handfirst", "torch", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime", "openvino")
        ),
    }


def make(public: Path, name: str, full: bool) -> None:
    """One of the public files, or the base models beside them."""
    sys.path.insert(0, str(ROOT / "tests"))
    import torch
    from support.realishuman_layout import (
        FULL_DINO,
        pose_guider,
        stage1_weights,
        unet_of,
        write_bases,
        write_checkpoint,
    )

    torch.manual_seed(0)
    if name == "bases":
        shutil.rmtree(public / "pretrained_models", ignore_errors=True)
        write_bases(public, old_dino=True, full=full)
    elif name == "stage1":
        context, seen = (768, FULL_DINO["hidden_size"]) if full else (64, 48)
        projector = torch.nn.Sequential(torch.nn.LayerNorm(seen), torch.nn.Linear(seen, context))
        unets = (unet_of(1, full=full), unet_of(2, full=full))
        weights = stage1_weights(*unets, pose_guider(full), projector)
        write_checkpoint(public / "checkpoint" / "stage1_hand" / "checkpoint-stage1-hand.ckpt", weights, True)
    else:
        second = {f"unet_main.{key}": value for key, value in unet_of(8, inputs=9, full=full).state_dict().items()}
        write_checkpoint(public / "checkpoint" / "stage2_hand" / "checkpoint-stage2-hand.ckpt", second, True)


def export(work: Path, role: str) -> dict[str, Any]:
    """One graph, as `handfirst export` writes it, against torch."""
    from handfirst.export.form import form_of
    from handfirst.export.gate import measure, run_trials
    from handfirst.export.graph_files import read_graph, write_graph
    from handfirst.export.part import limit_rows
    from handfirst.export.systems.part_refiner.parts import part_makers
    from handfirst.export.to_onnx import to_onnx
    from handfirst.export.weights import round_weights
    from handfirst.training.systems.part_refiner.model_folder import PartRefinerFolder

    begin, busy = time.monotonic(), time.process_time()
    part = limit_rows(part_makers(PartRefinerFolder(work / "model"))[role](), 1)
    round_weights(part.module)
    parameters = sum(tensor.numel() for tensor in part.module.parameters())
    trials, form = run_trials(part), form_of(part, "float32", None)
    folder = work / "graphs" / role
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = write_graph(to_onnx(part, "float16", form), folder, role)
    spec = part.spec
    del part
    figure = measure(read_graph(folder, files, role, spec, form.precision), trials)
    size = sum((folder / each).stat().st_size for each in files.names)
    shutil.rmtree(folder)
    return {
        "parameters": parameters,
        "bytes": size,
        "psnr_db": round(figure, 1),
        "needed_db": TOLERANCE[form.precision],
        "seconds": round(time.monotonic() - begin, 1),
        "cpu_seconds": round(time.process_time() - busy, 1),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    main()
