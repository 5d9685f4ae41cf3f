"""onnxruntime as an engine: CPU, and CUDA where its package is installed. The library is imported on opening."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import numpy as np

from handfirst.engines.cores import usable_cores
from handfirst.engines.engine import Array, check_inputs
from handfirst.engines.errors import BundleError, EngineError
from handfirst.engines.graph import Graph
from handfirst.engines.ports import Port, check_ports

SMALL = 1 << 29
"""Bytes of a graph below which freed memory is kept for the next run."""

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(bfloat16)": "bfloat16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


class OrtEngine:
    """One ONNX graph in an onnxruntime session.

    Args:
        graph: its spec is checked against the graph itself.
        provider: "cpu" or "cuda".
        threads: for one operator; None: one per usable core.

    Raises:
        EngineError: onnxruntime or the provider is not installed.
        BundleError: not an ONNX graph, or one that does not match the spec.
    """

    def __init__(self, graph: Graph, provider: str = "cpu", threads: int | None = None) -> None:
        self.spec = graph.spec
        self.name = graph.role
        source = graph.source or graph.role
        ort = import_onnxruntime()
        if provider not in PROVIDERS:
            raise EngineError(f"engine provider must be one of {', '.join(PROVIDERS)}, got {provider!r}")
        if PROVIDERS[provider] not in ort.get_available_providers():
            raise EngineError(
                f"onnxruntime here has no {provider} provider; run: pip uninstall -y onnxruntime && "
                f"pip install 'handfirst[{provider}]'"
            )
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads or usable_cores()
        options.enable_cpu_mem_arena = graph.size < SMALL  # a full-size UNet's activations are 2 GB, held for nothing
        if graph.data:
            names, buffers = list(graph.data), list(graph.data.values())
            options.add_external_initializers_from_files_in_memory(names, buffers, [len(b) for b in buffers])
        try:
            self._session: Any = ort.InferenceSession(graph.model, options, providers=[PROVIDERS[provider]])
        except Exception as error:  # the library raises many kinds, none of them documented as the full list
            reason = " ".join(str(error).split())[:200]
            raise BundleError(f"{source}: not a graph that onnxruntime can load ({reason})") from error
        check_ports(graph.spec, _ports(self._session.get_inputs()), _ports(self._session.get_outputs()), source)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name; see the Engine protocol."""
        if self._session is None:
            raise EngineError(f"{self.name}: the engine is closed")
        check_inputs(self.spec, inputs, self.name)
        names = [tensor.name for tensor in self.spec.outputs]
        feed = {key: np.asarray(value, order="C") for key, value in inputs.items()}
        try:
            return dict(zip(names, self._session.run(names, feed), strict=True))
        except Exception as error:
            raise EngineError(f"{self.name}: onnxruntime failed: {' '.join(str(error).split())[:300]}") from error

    def close(self) -> None:
        """Frees the session."""
        self._session = None


def import_onnxruntime() -> Any:
    """The library, or an EngineError that says how to get it."""
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)]
    if len(installed) == 2:
        raise EngineError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other; run: "
            "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install 'handfirst[cpu]' or 'handfirst[cuda]'"
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError("onnxruntime is not installed; run: pip install 'handfirst[cpu]'") from error
    return onnxruntime


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _ports(nodes: Iterable[Any]) -> dict[str, Port]:
    return {node.name: Port(DTYPES.get(node.type, node.type), tuple(node.shape)) for node in nodes}
