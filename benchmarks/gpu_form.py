"""One graph at Stable Diffusion 1.5's full size, written for GPUs (`handfirst export --precision float16 --opset 23`).

    pip install -e '.[export,cpu]' tensorrt_rtx_cu13
    python benchmarks/gpu_form.py WORK_FOLDER [--role hand_unet] [--tiny]  # -> benchmarks/results/gpu-form.json

Random weights, one network at a time: 12 GB of memory and 4 GB of disk. Exports the graph in the plain form and in the
GPUs', counts the operators of both, holds each against torch in float32 as the export's gate does (float16 on
onnxruntime's CPU provider, bfloat16 on OpenVINO), and asks TensorRT for RTX, which needs no GPU for it, to parse it and
to build a plan. Each of these is a process of its own, so that its peak memory is its own. Roles and precisions are
added to the file. What a GPU makes of the graphs is not seen here.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_write_bytes

RESULT = Path(__file__).parent / "results" / "gpu-form.json"
LIBRARIES = (
    "handfirst", "torch", "diffusers", "onnx", "onnxscript", "onnxruntime", "openvino", "tensorrt_rtx_cu13_bindings",
)  # fmt: skip
FORMS: dict[str, int | None] = {"plain": None, "for GPUs": 23}
ROWS = 16
"""Of the batch, as `handfirst export` limits it by default."""

COUNTED = ("Attention", "Softmax", "GroupNormalization", "InstanceNormalization", "Conv", "MatMul", "Gemm", "Cast")
"""Operators that are named in the results; all of them are counted."""


def main() -> None:
    """Exports, then judges each form; writes what came out."""
    options = _options()
    if options.step:
        print("\n" + json.dumps(STEPS[options.step](options)), flush=True)
        return
    from handfirst.runtime.profile.machine import machine

    options.work.mkdir(parents=True, exist_ok=True)
    exported = _step("torch", options)
    if "failed" in exported:
        sys.exit(f"{options.role}: the export failed")
    judged = {form: {step: _step(step, options, form) for step in ("gate", "parse", "build")} for form in FORMS}
    graphs = {form: exported.pop(form) | said for form, said in judged.items()}
    row: dict[str, Any] = {"role": options.role, "precision": options.precision, **exported, **graphs}
    report = json.loads(options.out.read_text()) if options.out.exists() else {"graphs": []}
    others = [r for r in report["graphs"] if (r["role"], r["precision"]) != (row["role"], row["precision"])]
    layout = "the tiny model of the tests" if options.tiny else "the layout of Stable Diffusion 1.5"
    report = {
        "what": f"graphs of {layout}, random weights, plain and for GPUs; nothing ran on a GPU",
        "graphs": [*others, row],
        "machine": machine(LIBRARIES),
    }
    atomic_write_bytes(options.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(row, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for the graphs")
    parser.add_argument("--role", default="hand_unet")
    parser.add_argument("--precision", choices=("float16", "bfloat16"), default="float16")
    parser.add_argument("--tiny", action="store_true", help="the tests' tiny model: tries the script itself")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _step(step: str, options: argparse.Namespace, form: str | None = None) -> dict[str, Any]:
    """What one step says, run in a process of its own; how it failed, if it did."""
    begin = time.monotonic()
    command = [sys.executable, __file__, *sys.argv[1:], "--step", step, *(["--form", form] if form else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return {"failed": f"exit code {done.returncode}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(step, form or "", found, f"{time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return found


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _torch(options: argparse.Namespace) -> dict[str, Any]:
    """Torch's answers, and both graphs."""
    from proof_model import RandomModel, TinyModel

    from handfirst.engines.trust.onnx_file import read_onnx
    from handfirst.export.form import form_of
    from handfirst.export.gate import run_trials
    from handfirst.export.graph_files import write_graph
    from handfirst.export.part import limit_rows
    from handfirst.export.systems.two_stage.parts import part_makers
    from handfirst.export.to_onnx import to_onnx

    made = part_makers(TinyModel() if options.tiny else RandomModel())[options.role]()
    part = limit_rows(made, ROWS)
    said: dict[str, Any] = {"parameters": sum(tensor.numel() for tensor in part.module.parameters())}
    trials = run_trials(part)
    forms = {name: form_of(part, options.precision, opset) for name, opset in FORMS.items()}
    for name, form in forms.items():  # all are known before the first converts the weights
        begin = time.monotonic()
        folder = _folder(options, name)
        folder.mkdir(exist_ok=True)
        files = write_graph(to_onnx(part, "float32", form), folder, part.role)
        (folder / "known").write_bytes(pickle.dumps((files, part.spec, form.precision, trials)))
        graph = read_onnx((folder / files.file).read_bytes(), part.role).graph
        assert graph is not None
        kinds = Counter(node.op_type for node in graph.nodes)
        said[name] = {
            "form": str(form),
            "operators": len(graph.nodes),
            "of these": {kind: kinds[kind] for kind in COUNTED},
            "bytes": sum((folder / each).stat().st_size for each in files.names),
            "export_seconds": round(time.monotonic() - begin, 1),
        }
    return said | {"peak_memory_bytes": _peak()}


def _folder(options: argparse.Namespace, form: str) -> Path:
    return Path(options.work / f"{options.role}-{options.precision}-{form.replace(' ', '-')}")


def _read(options: argparse.Namespace) -> tuple[Any, Any]:
    """The graph, and torch's answers; both were written by this script's first step."""
    from handfirst.export.graph_files import read_graph

    folder = _folder(options, options.form)
    files, spec, precision, trials = pickle.loads((folder / "known").read_bytes())
    return read_graph(folder, files, options.role, spec, precision), trials


def _gate(options: argparse.Namespace) -> dict[str, Any]:
    """The worst PSNR against torch over all outputs and trials."""
    from handfirst.engines.choice import TOLERANCE
    from handfirst.export.gate import measure

    begin = time.monotonic()
    graph, trials = _read(options)
    figure = measure(graph, trials)
    return {
        "psnr_db": round(figure, 1),
        "needed_db": TOLERANCE[graph.precision],
        "seconds": round(time.monotonic() - begin, 1),
        "peak_memory_bytes": _peak(),
    }


def _rtx(options: argparse.Namespace, builds: bool) -> dict[str, Any]:
    """What TensorRT for RTX says of the graph."""
    try:
        import tensorrt_rtx_bindings as trt
    except ImportError:
        return {"skipped": "TensorRT for RTX is not installed; run: pip install tensorrt_rtx_cu13"}
    from handfirst.engines.tensorrt.build import build, external_weights, parse, profile_of
    from handfirst.engines.tensorrt.library import logger

    graph, trials = _read(options)
    external, begin = external_weights(graph), time.monotonic()
    said: dict[str, Any] = {"library": f"TensorRT for RTX {trt.__version__}"}
    try:
        if builds:
            shapes = {name: array.shape for name, array in trials[-1].inputs.items()}
            said["plan_bytes"] = len(build(trt, graph, external, profile_of(graph.spec, shapes)).plan)
        else:
            typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
            network = trt.Builder(logger(trt)).create_network(typed)
            parse(trt, network, graph, external)
            said["layers"] = network.num_layers
    except UserError as error:
        said["refused"] = str(error)
    return said | {"seconds": round(time.monotonic() - begin, 1), "peak_memory_bytes": _peak()}


STEPS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "torch": _torch,
    "gate": _gate,
    "parse": lambda options: _rtx(options, builds=False),
    "build": lambda options: _rtx(options, builds=True),
}

if __name__ == "__main__":
    main()
