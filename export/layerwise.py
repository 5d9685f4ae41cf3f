"""Where a graph begins to deviate: every operator's output against what torch computes at the same place.

The exporter names a value of the graph after the torch operation that it translates, so both sides can be compared
operator by operator. polygraphy marks the values and runs the graph, on onnxruntime or as a TensorRT plan that it
builds from the graph in this process. It allows host code in every plan that it loads, so it is never shown a plan of a
file. All values of the graph are outputs while it runs, which keeps libraries from fusing operators: a fault that lies
in a fusion goes away, and that is said. Has run on onnxruntime's CPU provider alone. Knows nothing about bundles.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from handfirst.engines.errors import EngineError, UserError
from handfirst.engines.graph import Graph
from handfirst.engines.ort import PROVIDERS, import_onnxruntime, preload
from handfirst.engines.ort_cuda import CudaOptions, cuda_settings
from handfirst.engines.ort_failures import no_cuda, reason
from handfirst.engines.verify import psnr
from handfirst.export.form import Form
from handfirst.export.part import Part
from handfirst.export.to_onnx import export_program

Values = dict[str, NDArray[Any]]

LARGEST = (1 << 31) - 1
"""Bytes of a graph with its weights: polygraphy takes it in one piece, and protobuf ends there."""

TIMINGS = "timings.cache"
"""TensorRT's timings in the folder that is given: a second build measures nothing again."""

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


@dataclass(frozen=True)
class Deviation:
    """The first operator whose output is too far from torch's.

    Attributes:
        operator: its type.
        value: the name of its output, which is that of the torch operation.
        figure: PSNR of that output in dB.
        before: the worst PSNR of those before it; None where it is the first that can be compared.
        compared: how many values were.
    """

    operator: str
    value: str
    figure: float
    before: float | None
    compared: int

    def __str__(self) -> str:
        good = "nothing before it can be compared" if self.before is None else f"{self.before:.1f} dB before it"
        return f"the first operator that deviates is {self.operator} '{self.value}': {self.figure:.1f} dB, {good}"


def torch_values(part: Part, form: Form, inputs: Mapping[str, NDArray[Any]]) -> Values:
    """What torch computes in float32, by the name of the operation, and of the part's outputs.

    Operations are those of the graph's own export, weights rounded as its precision has them.

    Args:
        part: its module's weights are converted to the form's precision.
        inputs: of the part, by name.
    """
    program: Any = export_program(part, form)
    recorder = _Recorder(program.exported_program.module())
    with torch.no_grad():
        found = recorder.run(*(torch.from_numpy(inputs[tensor.name]) for tensor in part.spec.inputs))
    outputs = found if isinstance(found, tuple | list) else (found,)
    named = zip(part.spec.outputs, outputs, strict=True)  # in the graph an output bears the spec's name
    return recorder.values | {tensor.name: value.float().numpy() for tensor, value in named}


class _Recorder(torch.fx.Interpreter):
    """Runs a program in float32 whatever it was exported in, and keeps what each operation gives."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.values: Values = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        found = super().run_node(n)
        if isinstance(found, torch.Tensor):
            found = found.float() if found.dtype in (torch.float16, torch.bfloat16) else found
            if n.op == "call_function":
                self.values[n.name] = found.numpy()
        return found


def graph_values(
    graph: Graph, inputs: Mapping[str, NDArray[Any]], engine: str = "cpu", folder: Path | None = None
) -> Values:
    """What a graph computes, by the name of the value: of every operator that gives floats and every output.

    Args:
        engine: "cpu", "cuda" or "tensorrt".
        folder: where TensorRT keeps its timings; None: nowhere.

    Raises:
        EngineError: polygraphy is not installed.
        UserError: the graph is too large, or the library cannot run it.
    """
    check_polygraphy()
    from polygraphy.backend.onnx import ModifyOutputs
    from polygraphy.logger import G_LOGGER

    model = onnx.shape_inference.infer_shapes(whole_model(graph))
    model.graph.value_info.extend(model.graph.output)  # TensorRT wants to know the type of every output
    floats = {value.name for value in model.graph.value_info if value.type.tensor_type.elem_type in FLOATS}
    made = [name for node in model.graph.node for name in node.output if name in floats]
    model = ModifyOutputs(model, outputs=made)()
    shapes = {name: tuple(array.shape) for name, array in inputs.items()}
    with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
        try:
            with _runner(model.SerializeToString(), engine, shapes, folder) as runner:
                found = runner.infer(dict(inputs))
        except Exception as error:  # every library raises types of its own
            raise UserError(f"{graph.role}: {engine} cannot run it operator by operator: {reason(error)}") from error
    return {name: np.asarray(value) for name, value in found.items()}


def first_deviation(graph: Graph, expected: Values, got: Values, bar: float) -> Deviation | None:
    """The first operator, in the graph's order, whose output is below `bar` dB from torch's; None: there is none."""
    worst, compared = float("inf"), 0
    for node in onnx.load_from_string(graph.model).graph.node:
        for name in node.output:
            if name not in expected or name not in got or expected[name].shape != got[name].shape:
                continue
            figure = psnr(expected[name], got[name])
            if not figure >= bar:
                return Deviation(node.op_type, name, figure, worst if compared else None, compared + 1)
            worst, compared = min(worst, figure), compared + 1
    return None


def explain(
    part: Part, form: Form, graph: Graph, inputs: Mapping[str, NDArray[Any]], bar: float, engine: str = "cpu",
    folder: Path | None = None,
) -> str:  # fmt: skip
    """A sentence for people: which operator deviates first, or why that cannot be told."""
    try:
        got = graph_values(graph, inputs, engine, folder)
    except UserError as error:
        return f"which operator deviates first was not looked for: {error}"
    found = first_deviation(graph, torch_values(part, form, inputs), got, bar)
    return str(found or "no operator deviates while all values are outputs: look at what the library fuses")


def whole_model(graph: Graph) -> onnx.ModelProto:
    """The graph with the weights of its other files inside.

    Raises:
        UserError: it is too large for that.
    """
    if graph.size > LARGEST:
        raise UserError(f"{graph.role}: expected at most {LARGEST} bytes with its weights, got {graph.size}")
    model = onnx.load_from_string(graph.model)
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            place = {entry.key: entry.value for entry in tensor.external_data}
            start, length = int(place.get("offset", 0)), int(place["length"])
            tensor.raw_data = graph.data[place["location"]][start : start + length]
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    return model


def check_polygraphy() -> None:
    """Raises an EngineError, with the remedy, where polygraphy is not installed; keeps it from installing anything."""
    os.environ.setdefault("POLYGRAPHY_AUTOINSTALL_DEPS", "0")
    if find_spec("polygraphy") is None:
        raise EngineError("comparing operator by operator needs polygraphy; run: pip install polygraphy")


def _runner(model: bytes, engine: str, shapes: Mapping[str, tuple[int, ...]], folder: Path | None) -> Any:
    """polygraphy's runner of a graph, a context manager."""
    if engine == "tensorrt":
        from polygraphy.backend.trt import TrtRunner

        return TrtRunner(trt_engine(model, shapes, folder))
    from polygraphy.backend.onnxrt import OnnxrtRunner

    return OnnxrtRunner(session(model, engine))


def session(model: bytes, engine: str) -> Any:
    """An onnxruntime session on what was asked for and nothing else; polygraphy's own would go on with the CPU.

    Raises:
        EngineError: the CUDA provider does not start.
    """
    ort = import_onnxruntime()
    if engine == "cpu":
        return ort.InferenceSession(model, providers=[PROVIDERS["cpu"]])
    preload(ort)
    options = cuda_settings(CudaOptions(graphs=False), "float32", graphs=False)
    opened = ort.InferenceSession(model, providers=[(PROVIDERS["cuda"], options)])
    if PROVIDERS["cuda"] not in opened.get_providers():
        raise no_cuda(ort)
    return opened


def trt_engine(model: bytes, shapes: Mapping[str, tuple[int, ...]], folder: Path | None) -> Any:
    """A loader of a plan for one set of shapes, built from the graph when it is called and never written down."""
    from polygraphy.backend.trt import CreateConfig, EngineFromNetwork, NetworkFromOnnxBytes, Profile

    timings = None if folder is None else str(folder / TIMINGS)
    profile = Profile()
    for name, shape in shapes.items():
        profile.add(name, min=shape, opt=shape, max=shape)
    known = timings if timings is not None and Path(timings).is_file() else None
    return EngineFromNetwork(
        NetworkFromOnnxBytes(model, strongly_typed=True),
        config=CreateConfig(profiles=[profile], load_timing_cache=known),
        save_timing_cache=timings,
    )
