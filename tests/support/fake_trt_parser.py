"""The stand-in for TensorRT, its first half: logger, network, parser."""

from __future__ import annotations

import ctypes
import enum
from typing import TYPE_CHECKING, Any

import onnx

if TYPE_CHECKING:
    from support.fake_tensorrt import FakeTensorRT

DTYPES = {1: "FLOAT", 2: "UINT8", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "HALF", 16: "BF16"}
REFUSED = "Det"
"""The operator that the fake parser does not know."""


def enum_of(name: str, *members: str) -> Any:
    return enum.IntEnum(name, members, start=0)  # type: ignore[misc]


class Logger:
    """ILogger: refuses to be used before its own __init__ ran, as pybind11 does."""

    Severity = enum_of("Severity", "INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")

    def __init__(self) -> None:
        self.ready = True

    def log(self, severity: Any, message: str) -> None:
        raise TypeError("log is abstract: a logger of TensorRT is a subclass")

    def _error(self, message: str) -> None:
        assert self.ready
        self.log(self.Severity.WARNING, "a warning that explains nothing")
        self.log(self.Severity.ERROR, message)


class Monitor:
    """IProgressMonitor: a subclass must have called its __init__, as pybind11 asks."""

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None: ...

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise TypeError("step_complete is abstract")

    def phase_finish(self, phase_name: str) -> None: ...


class Tensor:
    def __init__(self, library: FakeTensorRT, value: onnx.ValueInfoProto) -> None:
        kind = value.type.tensor_type
        self.name = value.name
        self.dtype = library.DataType[DTYPES[kind.elem_type]]
        self.shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)


class Network:
    def __init__(self) -> None:
        self.model: onnx.ModelProto | None = None
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    def get_input(self, index: int) -> Tensor:
        return self.inputs[index]

    def get_output(self, index: int) -> Tensor:
        return self.outputs[index]


class Parser:
    library: FakeTensorRT

    def __init__(self, network: Network, logger: Logger) -> None:
        self.network = network
        self.logger = logger
        self.errors: list[str] = []
        self.loaded: onnx.ModelProto | None = None

    @property
    def num_errors(self) -> int:
        return len(self.errors)

    def get_error(self, index: int) -> str:
        return self.errors[index]

    def load_model_proto(self, model: bytes) -> bool:
        try:
            self.loaded = onnx.load_model_from_string(model)
        except Exception:
            return self._fail("(deserializeOnnxModel): MODEL_DESERIALIZE_FAILED:\n  Failed to parse the ONNX model.")
        return True

    def load_initializer(self, name: str, data: int, size: int) -> bool:
        assert self.loaded is not None and isinstance(data, int)
        for tensor in self.loaded.graph.initializer:
            if tensor.name == name:
                expected = next(int(e.value) for e in tensor.external_data if e.key == "length")
                if expected != size:
                    return self._fail(f"Provided initializer size {size} mismatches")
                tensor.raw_data = ctypes.string_at(data, size)
                tensor.ClearField("external_data")
                tensor.data_location = onnx.TensorProto.DEFAULT
                return True
        return self._fail(f"Cannot find initializer name: {name} in model!")

    def _fail(self, message: str) -> bool:
        self.errors.append(message)
        self.logger._error(message)
        return False

    def _complete(self) -> bool:
        """Fails as the real parser does where a file is not there."""
        assert self.loaded is not None
        for tensor in self.loaded.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                return self._fail(f"Failed to import initializer: {tensor.name}")
        return True

    def parse(self, model: bytes, path: str | None = None) -> bool:
        return self.load_model_proto(model) and self.parse_model_proto()

    def parse_model_proto(self) -> bool:
        if not self._complete():
            return False
        assert self.loaded is not None
        for index, node in enumerate(self.loaded.graph.node):
            if node.op_type == REFUSED:
                self._fail(f"In node {index} with operator: {REFUSED}\n UNSUPPORTED_NODE: no such op")
        if self.errors:
            return False
        self.network.model = self.loaded
        self.network.inputs = [Tensor(self.library, v) for v in self.loaded.graph.input]
        self.network.outputs = [Tensor(self.library, v) for v in self.loaded.graph.output]
        return True
