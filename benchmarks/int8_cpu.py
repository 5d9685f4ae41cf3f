"""Does int8 pay on this CPU? OpenVINO on one UNet: float32, bfloat16, int8 weights alone, int8 weights and activations.

    pip install -e '.[export,cpu,openvino]' nncf
    python benchmarks/int8_cpu.py WORK                 # -> benchmarks/results/int8-cpu.json

A UNet of 74 million random weights, built like Stable Diffusion's but with three levels. NNCF quantises: `weights` has
those of products and convolutions in 8 bits, `all` calibrates the activations on eight inputs too. Error is
|engine - torch float32| / |torch float32| for an input that calibration did not see; memory is that of a process which
holds nothing else; seconds are medians of evaluations that take turns in one process. Random weights have no outliers:
a trained network will lose more to int8 than is measured here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULT = Path(__file__).parent / "results" / "int8-cpu.json"
CONTESTANTS = {
    "float32": ("unet", "f32"), "bfloat16": ("unet", "bf16"), "int8 weights": ("weights", "f32"),
    "int8": ("all", "f32"), "int8, the rest in bfloat16": ("all", "bf16"),
}  # fmt: skip
"""Name -> (file, precision hint)."""
SEEN = 8


def main() -> None:
    """Makes what is missing, measures, writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder with 1 GB of room; what is there already is used")
    parser.add_argument("--cells", type=int, default=64, help="side of the latent")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--only", choices=CONTESTANTS, help="one contestant, in this process: error and memory")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(alone(options.work, options.only)))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, str(options.work)]
    if not (options.work / "data.npz").exists():
        export(options.work, options.cells)
        quantise(options.work)
    rows = {
        name: json.loads(subprocess.run([*command, "--only", name], check=True, capture_output=True).stdout)
        for name in CONTESTANTS
    }
    for name, seconds in race(options.work, options.runs).items():
        rows[name]["seconds"] = round(seconds, 4)
    for row in rows.values():
        row["times_faster"] = round(rows["float32"]["seconds"] / row["seconds"], 2)
        row["memory_ratio"] = round(row["memory_bytes"] / rows["float32"]["memory_bytes"], 2)
    from full_size import machine

    libraries = ("openvino", "nncf", "torch", "diffusers")
    report = {"what": f"UNet of 74 M random weights, {options.cells} x {options.cells} cells", "rows": rows,
              "machine": machine(libraries)}  # fmt: skip
    RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


def export(work: Path, cells: int) -> None:
    """The graph, and inputs with torch's answer to the last of them."""
    import torch
    from diffusers import UNet2DConditionModel
    from torch import nn

    from handfirst.engines.spec import EngineSpec, TensorSpec
    from handfirst.export.examples import example, reference
    from handfirst.export.graph_files import write_graph
    from handfirst.export.part import Part
    from handfirst.export.systems.two_stage.modules import HandUNet
    from handfirst.export.to_onnx import to_onnx

    torch.manual_seed(0)
    cross = ("CrossAttnDownBlock2D",) * 2 + ("DownBlock2D",), ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 2
    unet = UNet2DConditionModel(
        sample_size=cells, block_out_channels=(128, 256, 512), cross_attention_dim=768, down_block_types=cross[0],
        up_block_types=cross[1],
    )  # fmt: skip
    wrapper = nn.Module()
    wrapper.unet, wrapper.conv_out = unet.eval(), nn.Identity()
    maps = (1, 4, cells, cells)
    spec = EngineSpec(
        inputs=(
            TensorSpec(name="sample", dtype="float32", shape=maps),
            TensorSpec(name="timestep", dtype="int64", shape=(1,)),
            TensorSpec(name="context", dtype="float32", shape=(1, 77, 768)),
        ),
        outputs=tuple(TensorSpec(name=name, dtype="float32", shape=maps) for name in ("prediction", "feature")),
    )
    part = Part("unet", HandUNet(wrapper), spec, {"timestep": 1000})  # type: ignore[arg-type]
    inputs = [example(part, 1, seed) for seed in range(SEEN + 1)]
    answer = reference(part, inputs[-1])["prediction"]
    write_graph(to_onnx(part, "float32"), work, "unet")
    named = {f"{i}.{name}": value for i, each in enumerate(inputs) for name, value in each.items()}
    np.savez(work / "data.npz", answer=answer, **named)


def quantise(work: Path) -> None:
    """Both kinds of int8, as OpenVINO's own files."""
    import nncf
    import openvino

    def read() -> Any:
        return openvino.Core().read_model(str(work / "unet.onnx"))

    weights = nncf.compress_weights(read(), mode=nncf.CompressWeightsMode.INT8_SYM)
    openvino.save_model(weights, str(work / "weights.xml"), compress_to_fp16=False)
    seen = nncf.Dataset([inputs(work, i) for i in range(SEEN)])
    every = nncf.quantize(read(), seen, subset_size=SEEN, preset=nncf.QuantizationPreset.MIXED)
    openvino.save_model(every, str(work / "all.xml"), compress_to_fp16=False)


def inputs(work: Path, index: int) -> dict[str, np.ndarray]:
    """One evaluation's."""
    with np.load(work / "data.npz") as data:
        return {name: data[f"{index}.{name}"] for name in ("sample", "timestep", "context")}


def opened(work: Path, name: str) -> Any:
    """A request of the compiled graph."""
    import openvino

    core, (file, hint) = openvino.Core(), CONTESTANTS[name]
    core.set_property({"ENABLE_MMAP": "NO"})
    path = work / f"{file}.xml" if file != "unet" else work / "unet.onnx"
    config = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": "2", "PERFORMANCE_HINT": "LATENCY"}
    return core.compile_model(core.read_model(str(path)), "CPU", config).create_infer_request()


def alone(work: Path, name: str) -> dict[str, float]:
    """Error, and what the process holds after a run; torch is not loaded here."""
    request = opened(work, name)
    request.infer(inputs(work, SEEN))
    found = np.asarray(request.get_output_tensor(0).data, np.float64)
    with np.load(work / "data.npz") as data:
        answer = data["answer"]
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    error = float(np.linalg.norm(found - answer) / np.linalg.norm(answer))
    return {"relative_error": float(f"{error:.3g}"), "memory_bytes": resident}


def race(work: Path, runs: int) -> dict[str, float]:
    """Median seconds of evaluations that take turns."""
    requests, feed = {name: opened(work, name) for name in CONTESTANTS}, inputs(work, SEEN)
    seconds: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(runs + 1):  # the first is a warm-up
        for name, request in requests.items():
            started = time.perf_counter()
            request.infer(feed)
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(each[1:]) for name, each in seconds.items()}


if __name__ == "__main__":
    main()
