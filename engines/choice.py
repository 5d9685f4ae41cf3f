"""Which engine runs the graphs: the one that was asked for, or the best that is installed and fits the hardware.

Nothing heavy is imported until an engine is opened.
"""

from __future__ import annotations

from dataclasses import dataclass

from handfirst.engines.engine import Engine
from handfirst.engines.errors import EngineError
from handfirst.engines.graph import Graph, Precision

ENGINES = ("cpu", "cuda", "openvino", "openvino-bf16", "tensorrt")
"""onnxruntime on CPU or CUDA; OpenVINO in float32 or bfloat16 arithmetic; TensorRT. Extras have the same names."""

AUTO = "auto"

TOLERANCE: dict[Precision, float] = {"float32": 60.0, "float16": 40.0, "bfloat16": 25.0}
"""Worst PSNR in dB against torch's float32 of a graph that is computed in each arithmetic."""


@dataclass(frozen=True)
class Choice:
    """An engine by name, and why it was picked, in a few words."""

    engine: str
    reason: str


def choose(asked: str = AUTO) -> Choice:
    """The engine to use.

    Raises:
        EngineError: no such engine.
    """
    if asked == AUTO:
        return Choice("cpu", "the reference engine")
    if asked not in ENGINES:
        raise EngineError(f"engine must be one of {', '.join((AUTO, *ENGINES))}, got {asked!r}")
    return Choice(asked, "asked for")


def open_engine(graph: Graph, engine: str, threads: int | None = None) -> Engine:
    """Opens a graph.

    Args:
        engine: one of ENGINES; see `choose` for "auto".
        threads: CPU threads for one operator; None: one per usable core.

    Raises:
        BundleError: the engine cannot load this graph, or the graph does not match its spec.
        EngineError: the library, its extra or the hardware is missing.
    """
    if engine in ("cpu", "cuda"):
        from handfirst.engines.ort import OrtEngine

        return OrtEngine(graph, engine, threads)
    raise EngineError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")


def arithmetic(engine: str, graph: Precision) -> Precision:
    """What an engine computes in when it is given a graph of that precision."""
    return "bfloat16" if engine == "openvino-bf16" and graph == "float32" else graph
