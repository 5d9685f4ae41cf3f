"""What a graph's weights cost in memory: what an engine holds of them, and at most while it opens, way by way.

    python benchmarks/weights_memory.py          # -> results/weights-memory.json; needs .[export,cpu,openvino]

A graph of products and convolutions with external weights, once for each way in a process of its own. "memory" hands
the checked bytes to the library; "copy" is what a bundle does, a private copy that the library reads by path; "sealed"
the same by way of an anonymous file whose bytes nobody can change any more (memfd, Linux). Ratios are to the bytes of
the weights, float32.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.profile.machine import machine

WIDTH, KERNEL = 1024, 3
WAYS = tuple(f"{engine} {way}" for engine in ("onnxruntime", "openvino-bf16") for way in ("memory", "copy", "sealed"))


def main() -> None:
    """Every way in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "weights-memory.json")
    options = parser.parse_args()
    told = {}
    with tempfile.TemporaryDirectory() as folder:
        size = make(Path(folder), options.megabytes)
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, folder, str(size)]
            found = subprocess.run(command, capture_output=True, text=True)
            lines = found.stdout.splitlines()
            said = found.stderr.strip().replace(f"{folder}/", "").splitlines()[-1:]
            told[way] = json.loads(lines[-1]) if lines else {"failed": "".join(said)[:300]}
            print(way, told[way], flush=True)
    report = {"weights_bytes": size, "ways": told, "machine": machine(("onnxruntime", "openvino"))}
    atomic_write_bytes(options.out, (json.dumps(report, indent=1) + "\n").encode())


def make(folder: Path, megabytes: int) -> int:
    """model.onnx and its weights: as many bytes of products as of convolutions. Returns the bytes."""
    import onnx
    from onnx import TensorProto, helper

    nodes, tensors, size, last, number = [], [], 0, "x", 0
    random = np.random.default_rng(0)
    with (folder / "weights").open("wb") as file:
        while size < megabytes * 1e6:
            kernel = KERNEL if number % 10 == 9 else 1  # nine products, one convolution of as many bytes
            shape = (WIDTH, WIDTH, kernel, kernel) if kernel > 1 else (WIDTH, WIDTH)
            data = (random.standard_normal(shape, np.float32) / WIDTH).tobytes()
            tensor = TensorProto(name=f"w{number}", data_type=TensorProto.FLOAT, dims=shape)
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", "weights"), ("offset", str(file.tell())), ("length", str(len(data)))):
                tensor.external_data.add(key=key, value=value)
            file.write(data)
            size += len(data)
            tensors.append(tensor)
            if kernel > 1:
                nodes += [
                    helper.make_node("Transpose", [last], [f"t{number}"], perm=[0, 2, 1]),
                    helper.make_node("Unsqueeze", [f"t{number}", "axis"], [f"u{number}"]),
                    helper.make_node("Conv", [f"u{number}", f"w{number}"], [f"c{number}"], pads=[1, 1, 1, 1]),
                    helper.make_node("Squeeze", [f"c{number}", "axis"], [f"s{number}"]),
                    helper.make_node("Transpose", [f"s{number}"], [f"y{number}"], perm=[0, 2, 1]),
                ]
            else:
                nodes.append(helper.make_node("MatMul", [last, f"w{number}"], [f"y{number}"]))
            last, number = f"y{number}", number + 1
    tensors.append(helper.make_tensor("axis", TensorProto.INT64, [1], [2]))
    shape = ["batch", 16, WIDTH]
    graph = helper.make_graph(
        [*nodes, helper.make_node("Identity", [last], ["y"])], "weights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)], tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    onnx.save(model, folder / "model.onnx")
    return size


def run(way: str, folder: Path, size: int) -> None:
    """Opens, runs, and prints what it took."""
    opens = {"memory": from_memory, "copy": from_copy, "sealed": from_sealed}[way.split()[1]]
    engine = way.split()[0]
    if engine == "onnxruntime":
        import onnxruntime  # noqa: F401
    else:
        from handfirst.engines.ov import _core

        _core()
    before = memory("VmRSS")
    started = time.process_time()
    ask = opens(engine, folder)
    opened = time.process_time() - started
    x = np.ones((1, 16, WIDTH), np.float32)
    found = ask(x)
    held, most = memory("VmRSS") - before, memory("VmHWM") - before
    again = time.process_time()
    ask(x)
    print(
        json.dumps(
            {
                "held": round(held / size, 2),
                "of_it_anonymous": round(memory("RssAnon") / size, 2),
                "at_most": round(most / size, 2),
                "open_seconds": round(opened, 2),
                "run_seconds": round(time.process_time() - again, 3),
                "checksum": float(f"{np.abs(found).sum():.4g}"),
            }
        )
    )


Ask = Callable[[np.ndarray], np.ndarray]


def from_memory(engine: str, folder: Path) -> Ask:
    """All bytes read before the library gets them."""
    return opened(engine, folder, {"weights": (folder / "weights").read_bytes()})


def from_copy(engine: str, folder: Path) -> Ask:
    """As Bundle.graph has them."""
    from handfirst.engines.private import Folder

    private = Folder()
    with (folder / "weights").open("rb") as file:
        private.copy(file, "weights")
    return opened(engine, folder, {"weights": private.bytes("weights")}, private)


def opened(engine: str, folder: Path, data: Any, private: Any = None) -> Ask:
    """By handfirst's own engines."""
    from handfirst.engines.graph import Graph
    from handfirst.engines.opening import open_engine
    from handfirst.engines.spec import EngineSpec, TensorSpec

    axes = ("batch", 16, WIDTH)
    spec = EngineSpec(
        inputs=(TensorSpec(name="x", dtype="float32", shape=axes),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=axes),),
    )
    graph = Graph("graph", spec, (folder / "model.onnx").read_bytes(), data, folder=private)
    found = open_engine(graph, "cpu" if engine == "onnxruntime" else engine, 1)
    return lambda x: found.run({"x": x})["y"]


def from_file(engine: str, folder: Path) -> Ask:
    """By its path, with the library alone."""
    if engine == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.enable_cpu_mem_arena = 1, False
        session: Any = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        return lambda x: session.run(None, {"x": x})[0]
    import openvino

    core = openvino.Core()
    model = core.read_model(folder / "model.onnx")
    model.reshape({"x": [1, 16, WIDTH]})
    config = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": "1", "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(model, "CPU", config).create_infer_request()
    return lambda x: np.array(request.infer({"x": x})["y"])


def from_sealed(engine: str, folder: Path) -> Ask:
    """By a private folder whose weights are a link to an anonymous file; sealed, as soon as its bytes are in it."""
    handle = os.memfd_create("weights", os.MFD_ALLOW_SEALING)
    with (folder / "weights").open("rb") as file:
        while piece := file.read(1 << 24):
            os.write(handle, piece)
    fcntl.fcntl(handle, 1033, 0x0002 | 0x0004 | 0x0008 | 0x0001)  # F_ADD_SEALS: shrink, grow, write, seal
    private = Path(tempfile.mkdtemp())
    (private / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    (private / "weights").symlink_to(f"/proc/{os.getpid()}/fd/{handle}")
    return from_file(engine, private)


def memory(name: str) -> int:
    """Bytes of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--way"]:
        run(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
