"""The stand-in for TensorRT, its second half: plans that are loaded and run."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from support.fake_trt_builder import MAGIC
from support.fake_trt_parser import Logger, Tensor

if TYPE_CHECKING:
    from support.fake_tensorrt import FakeTensorRT


COMPUTING = 0.25
"""Seconds of the fake GPU's clock that a run takes, whatever it computes."""


class Runtime:
    library: FakeTensorRT

    def __init__(self, logger: Logger) -> None:
        self.logger = logger
        self.library.runtimes += 1

    def deserialize_cuda_engine(self, plan: bytes) -> CudaEngine | None:
        if not plan.startswith(MAGIC):
            self.logger._error("Serialization assertion\nmagicTag failed")
            return None
        head, model = plan[len(MAGIC) :].split(b"\n", 1)
        fields = json.loads(head)
        if (fields["version"], fields["gpu"]) != (self.library.__version__, self.library.gpu):
            self.logger._error("The engine plan file is not compatible with this version or GPU")
            return None
        return CudaEngine(self.library, self.logger, fields, model)


class CudaEngine:
    def __init__(self, library: FakeTensorRT, logger: Logger, fields: dict[str, Any], model: bytes) -> None:
        self.library, self.logger, self.model = library, logger, model
        self.profile: dict[str, list[list[int]]] = fields["shapes"]
        graph = onnx.load_model_from_string(model).graph
        self.inputs = [Tensor(library, value) for value in graph.input]
        self.outputs = [Tensor(library, value) for value in graph.output]
        self.tensors = {tensor.name: tensor for tensor in (*self.inputs, *self.outputs)}

    @property
    def device_memory_size_v2(self) -> int:
        return 64 * sum(int(np.prod(largest)) for _, _, largest in self.profile.values())

    @property
    def num_io_tensors(self) -> int:
        return len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        modes = self.library.TensorIOMode
        return modes.INPUT if self.tensors[name] in self.inputs else modes.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return self.tensors[name].dtype

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name].shape

    def get_tensor_location(self, name: str) -> Any:
        where = self.library.TensorLocation
        return where.HOST if "get_tensor_location" in self.library.refuse else where.DEVICE

    def create_engine_inspector(self) -> Inspector:
        return Inspector(self)

    def create_execution_context(self, strategy: Any) -> Context | None:
        assert strategy == self.library.ExecutionContextAllocationStrategy.USER_MANAGED
        if "create_execution_context" in self.library.refuse:
            self.logger._error("cannot create a context:\nweights are missing")
            return None
        return Context(self)


class Inspector:
    def __init__(self, engine: CudaEngine) -> None:
        self.engine = engine

    def get_engine_information(self, format: Any) -> str:
        assert format == self.engine.library.LayerInformationFormat.JSON
        nodes = onnx.load_model_from_string(self.engine.model).graph.node
        if "get_engine_information" in self.engine.library.refuse:
            return "Engine information is not available"
        return json.dumps({"Layers": [{"Name": node.name, "LayerType": node.op_type} for node in nodes]})


class Context:
    running = threading.Lock()

    def __init__(self, engine: CudaEngine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.memory: tuple[int, int] | None = None
        self.session = onnxruntime.InferenceSession(engine.model, providers=["CPUExecutionProvider"])

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self.engine.profile[name]
        fits = all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))
        if not fits or "set_input_shape" in self.engine.library.refuse:
            self.engine.logger._error(f"shape of {name}\nis outside of the profile")
            return False
        self.shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if len(self.shapes) < len(self.engine.inputs):
            return self.engine.get_tensor_shape(name)
        zeros = {t.name: np.zeros(self.shapes[t.name], _numpy(t)) for t in self.engine.inputs}
        names = [tensor.name for tensor in self.engine.outputs]
        return dict(zip(names, (a.shape for a in self.session.run(names, zeros)), strict=True))[name]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in self.engine.tensors or "set_tensor_address" in self.engine.library.refuse:
            self.engine.logger._error(f"no tensor\n{name}")
            return False
        self.addresses[name] = memory
        return True

    def set_device_memory(self, memory: int, size: int) -> None:
        assert size >= self.engine.device_memory_size_v2
        self.memory = (memory, size)

    def execute_async_v3(self, stream_handle: int) -> bool:
        library = self.engine.library
        if "execute_async_v3" in library.refuse:
            self.engine.logger._error("Error Code 1: Cuda Runtime\n(an illegal memory access was encountered)")
            return False
        assert stream_handle in library.cuda.streams, "not a stream, or the default one"
        assert self.memory is not None and self.memory[0] in library.cuda.blocks, "the arena has moved"
        assert set(self.addresses) == set(self.engine.tensors)
        library.cuda.put(stream_handle, self._compute)
        return True

    def _compute(self) -> None:
        assert self.running.acquire(blocking=False), "two engines computed in one arena at the same time"
        try:
            blocks = self.engine.library.cuda.blocks
            self.engine.library.cuda.now += COMPUTING
            feed = {}
            for tensor in self.engine.inputs:
                shape, dtype = self.shapes[tensor.name], _numpy(tensor)
                data = np.frombuffer(blocks[self.addresses[tensor.name]], dtype, int(np.prod(shape)))
                feed[tensor.name] = data.reshape(shape)
            names = [tensor.name for tensor in self.engine.outputs]
            for name, array in zip(names, self.session.run(names, feed), strict=True):
                blocks[self.addresses[name]][: array.nbytes] = array.tobytes()
        finally:
            self.running.release()


def _numpy(tensor: Tensor) -> np.dtype[Any]:
    names = {"FLOAT": "float32", "HALF": "float16", "INT64": "int64", "INT32": "int32", "BOOL": "bool"}
    return np.dtype(names[tensor.dtype.name])
