"""A stand-in for onnxruntime with a CUDA provider: y = x + 1, z = 2 x; device memory is an array with a label.

It behaves as badly as the real one may: a captured graph reads and writes the buffers that it was captured with,
capturing wants every binding on the device, and what a session allocated after its first capture is overwritten by its
next run. What it allocated before, and somebody still holds, is in no graph.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

REFUSES_GRAPHS = (
    "[ONNXRuntimeError] : 1 : FAIL : This session cannot use the graph capture feature as requested by the user as all "
    "compute graph nodes have not been partitioned to the CUDAExecutionProvider"
)
"""The library's words (test_ort_cuda.py finds them in it)."""


class Value:
    """OrtValue."""

    copies = 0  # on the device, of all of them

    def __init__(self, array: np.ndarray, device: tuple[str, int]) -> None:
        self.array = array
        self.device = device

    @classmethod
    def ortvalue_from_numpy(cls, array: np.ndarray, device: str = "cpu", index: int = 0) -> Value:
        return cls(array if device == "cpu" else array.copy(), (device, index))

    @classmethod
    def ortvalue_from_shape_and_type(cls, shape: list[int], kind: type, device: str = "cpu", index: int = 0) -> Value:
        return cls(np.full(shape, 99, kind), (device, index))

    def update_inplace(self, data: Any) -> None:
        if isinstance(data, Value):
            data = data.array
            Value.copies += 1
        assert data.shape == self.array.shape and data.dtype == self.array.dtype
        self.array[...] = data

    def numpy(self) -> np.ndarray:
        return self.array if self.device[0] == "cpu" else self.array.copy()

    def shape(self) -> list[int]:
        return list(self.array.shape)

    def data_type(self) -> str:
        return {"float32": "tensor(float)"}[str(self.array.dtype)]


def _at(element: Any, shape: list[int], address: int, device: tuple[str, int]) -> Value:
    """Memory of somebody else, which here is the host's."""
    count = int(np.prod(shape)) * np.dtype(element).itemsize
    array = np.frombuffer((ctypes.c_uint8 * count).from_address(address), element)
    return Value(array.reshape(shape), device)


class Options:
    """SessionOptions and RunOptions."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value

    add_run_config_entry = add_session_config_entry


class Binding:
    def __init__(self) -> None:
        self.inputs: dict[str, Value] = {}
        self.outputs: dict[str, Value | tuple[str, int]] = {}
        self.made: list[Value] = []

    def bind_ortvalue_input(self, name: str, value: Value) -> None:
        self.inputs[name] = value

    def bind_ortvalue_output(self, name: str, value: Value) -> None:
        self.outputs[name] = value

    def bind_output(self, name: str, device: str, index: int, *placed: Any) -> None:
        self.outputs[name] = _at(*placed, (device, index)) if placed else (device, index)

    def bind_input(self, name: str, device: str, index: int, *placed: Any) -> None:
        self.inputs[name] = _at(*placed, (device, index))

    def synchronize_inputs(self) -> None: ...

    def synchronize_outputs(self) -> None: ...

    def get_outputs(self) -> list[Value]:
        return self.made


class Node:
    def __init__(self, name: str) -> None:
        self.name, self.type, self.shape = name, "tensor(float)", ["batch", 2]


class Session:
    """InferenceSession. `log` holds the graph id of every run, None where none was named."""

    def __init__(
        self, library: FakeOnnxRuntime, model: bytes, options: Options, providers: list[Any], enable_fallback: bool
    ) -> None:
        assert not enable_fallback
        self.library = library
        self.entries = options.entries
        self.provider, self.settings = providers[0] if isinstance(providers[0], tuple) else (providers[0], {})
        self.capturing = self.settings.get("enable_cuda_graph") == "1"
        self.log: list[int | None] = []
        self.graphs: dict[int, Binding] = {}
        self.arena: list[Value] = []
        if library.broken:
            raise RuntimeError("protobuf parsing failed")
        if self.capturing and library.refuses_to_open:
            raise RuntimeError(REFUSES_GRAPHS)
        library.sessions.append(self)

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"] if self.library.no_driver else [self.provider, "CPUExecutionProvider"]

    def get_inputs(self) -> list[Node]:
        return [Node("x")]

    def get_outputs(self) -> list[Node]:
        return [Node("y"), Node("z")]

    def io_binding(self) -> Binding:
        return Binding()

    def run_with_iobinding(self, binding: Binding, options: Options | None) -> None:
        graph = int(options.entries["gpu_graph_id"]) if options else None
        self.log.append(graph)
        for value in self.arena:
            value.array[...] = -7
        if graph is not None and graph >= 0:
            assert self.capturing
            if self.library.refuses_to_capture:
                raise RuntimeError("operation not permitted when stream is capturing")
            assert all(value.device[0] == "cuda" for value in [*binding.inputs.values(), *binding.outputs.values()])
            binding = self.graphs.setdefault(graph, binding)
        self._compute(binding)

    def _compute(self, binding: Binding) -> None:
        x = binding.inputs["x"].array
        binding.made = []
        for name, result in {"y": x + 1, "z": 2 * x}.items():
            target = binding.outputs[name]
            if isinstance(target, tuple):
                target = Value(result.copy(), target)
                if target.device[0] == "cuda" and self.graphs:
                    self.arena.append(target)
            target.array[...] = result
            binding.made.append(target)


class FakeOnnxRuntime:
    """The module. What it refuses is set by the test."""

    OrtValue = Value
    __version__ = "1.27.0"
    SessionOptions = RunOptions = Options

    def __init__(self, **refusals: bool) -> None:
        self.broken = self.refuses_to_open = self.refuses_to_capture = self.no_driver = False
        vars(self).update(refusals)
        self.preloaded = 0
        self.sessions: list[Session] = []

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def preload_dlls(self) -> None:
        self.preloaded += 1

    def InferenceSession(  # noqa: N802
        self, model: bytes, options: Options, providers: list[Any], enable_fallback: bool
    ) -> Session:
        return Session(self, model, options, providers, enable_fallback)
