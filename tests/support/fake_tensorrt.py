"""A stand-in for the parts of TensorRT that the engine uses: refuses what the real one refuses.

Graphs are computed with onnxruntime, so outputs are real. What TensorRT 11 took out is not there at all; what only
TensorRT 10 needs is asked for where the fake plays 10.
"""

from __future__ import annotations

import ctypes
import enum
import json
import threading
from typing import Any

import numpy as np
import onnx
import onnxruntime
from support.fake_cuda import FakeCuda

MAGIC = b"fake plan\n"
DTYPES = {1: "FLOAT", 2: "UINT8", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "HALF", 16: "BF16"}
COMPUTING = 0.25
"""Seconds of the fake GPU's clock that a run takes, whatever it computes."""
REFUSED = "Det"
"""The operator that the fake parser does not know."""


def _enum(name: str, *members: str) -> Any:
    return enum.IntEnum(name, members, start=0)  # type: ignore[misc]


class FakeTensorRT:
    """The module; test_tensorrt_rtx.py compares the names of its parts with the real ones.

    Knobs: `refuse` holds names of calls that fail, `gpu` is what plans are built for.
    """

    def __init__(self, api: int, cuda: FakeCuda, gpu: str = "Fake GPU") -> None:
        self.api, self.cuda, self.gpu = api, cuda, gpu
        self.__version__ = {10: "10.16.0", 11: "11.1.0"}[api]
        self.refuse: set[str] = set()
        self.builds = 0
        self.timings_seen: list[bytes] = []
        self.refits = 0
        self.runtimes = 0
        self.flags: list[list[str]] = []
        self.DataType = _enum("DataType", *sorted(DTYPES.values()))
        self.ProfilingVerbosity = _enum("ProfilingVerbosity", "LAYER_NAMES_ONLY", "DETAILED", "NONE")
        self.BuilderFlag = _enum("BuilderFlag", "REFIT", "TF32", "STRIP_PLAN", "REFIT_IDENTICAL")
        self.ExecutionContextAllocationStrategy = _enum("Strategy", "STATIC", "ON_PROFILE_CHANGE", "USER_MANAGED")
        self.TensorIOMode = _enum("TensorIOMode", "NONE", "INPUT", "OUTPUT")
        self.TensorLocation = _enum("TensorLocation", "DEVICE", "HOST")
        self.LayerInformationFormat = _enum("LayerInformationFormat", "ONELINE", "JSON")
        typed = {"STRONGLY_TYPED": 1} if api == 10 else {}
        self.NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", typed)  # type: ignore[misc]
        self.ILogger = Logger
        self.OnnxParser = _bound(Parser, self)
        self.OnnxParserRefitter = _bound(ParserRefitter, self)
        self.Builder = _bound(Builder, self)
        self.Runtime = _bound(Runtime, self)
        self.Refitter = _bound(Refitter, self)


def _bound(cls: type, library: FakeTensorRT) -> type:
    return type(cls.__name__, (cls,), {"library": library})


class Logger:
    """ILogger: refuses to be used before its own __init__ ran, as pybind11 does."""

    Severity = _enum("Severity", "INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")

    def __init__(self) -> None:
        self.ready = True

    def log(self, severity: Any, message: str) -> None:
        raise TypeError("log is abstract: a logger of TensorRT is a subclass")

    def _error(self, message: str) -> None:
        assert self.ready
        self.log(self.Severity.WARNING, "a warning that explains nothing")
        self.log(self.Severity.ERROR, message)


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


class Reader:
    """What the parser and the refitter have in common."""

    library: FakeTensorRT

    def __init__(self, logger: Logger) -> None:
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


class Parser(Reader):
    def __init__(self, network: Network, logger: Logger) -> None:
        super().__init__(logger)
        self.network = network

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


class ParserRefitter(Reader):
    def __init__(self, refitter: Refitter, logger: Logger) -> None:
        super().__init__(logger)
        self.refitter = refitter

    def refit_from_bytes(self, model: bytes, path: str | None = None) -> bool:
        return self.load_model_proto(model) and self.refit_model_proto()

    def refit_model_proto(self) -> bool:
        if "refit_from_bytes" in self.library.refuse:
            return self._fail("REFIT_FAILED: Failed to refit all the weights.")
        if not self._complete():
            return False
        assert self.loaded is not None
        self.refitter.model = self.loaded.SerializeToString()
        return True


class Refitter:
    library: FakeTensorRT

    def __init__(self, engine: CudaEngine, logger: Logger) -> None:
        self.engine, self.model = engine, b""

    def refit_cuda_engine(self) -> bool:
        assert "REFIT" in self.engine.flags, "REFIT_IDENTICAL takes the very same weights only"
        if "refit_cuda_engine" in self.library.refuse or not self.model:
            return False
        self.engine.model = self.model
        self.engine.empty = False
        self.library.refits += 1
        return True


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_shape(self, name: str, low: Any, best: Any, high: Any) -> None:
        assert low == best == high, "expected a static profile"
        self.shapes[name] = tuple(best)


class TimingCache:
    def __init__(self, blob: bytes) -> None:
        self.blob = blob

    def serialize(self) -> memoryview:
        return memoryview(self.blob)


class Config:
    def __init__(self, library: FakeTensorRT) -> None:
        self.library = library
        self.profiling_verbosity = library.ProfilingVerbosity.LAYER_NAMES_ONLY
        self.flags = {library.BuilderFlag.TF32}
        self.profiles: list[Profile] = []
        self.timings: TimingCache | None = None

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, blob: bytes) -> TimingCache:
        return TimingCache(bytes(blob))

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache.blob and not cache.blob.startswith(self.library.gpu.encode()):
            return False
        self.timings = cache
        self.library.timings_seen.append(cache.blob)
        return True

    def get_timing_cache(self) -> TimingCache:
        assert self.timings is not None
        return self.timings


class Builder:
    library: FakeTensorRT

    def __init__(self, logger: Logger) -> None:
        self.logger = logger

    def create_network(self, flags: int = 0) -> Network:
        assert flags == (2 if self.library.api == 10 else 0), "TensorRT 10 has to be told to be strongly typed"
        return Network()

    def create_builder_config(self) -> Config:
        return Config(self.library)

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: Config) -> memoryview | None:
        self.library.builds += 1
        assert len(config.profiles) == 1 and config.timings is not None and network.model is not None
        shapes = config.profiles[0].shapes
        for tensor in network.inputs:
            if any(a not in (-1, b) for a, b in zip(tensor.shape, shapes[tensor.name], strict=True)):
                self.logger._error(f"Network input {tensor.name}\nhas another shape than the profile")
                return None
        if "build_serialized_network" in self.library.refuse:
            self.logger._error("Error Code 10:\n  could not find any implementation")
            return None
        flags = sorted(flag.name for flag in config.flags)
        self.library.flags.append(flags)
        config.timings.blob = config.timings.blob or f"{self.library.gpu} timings".encode()
        model = onnx.ModelProto()
        model.CopyFrom(network.model)
        if "STRIP_PLAN" in flags:
            for weights in model.graph.initializer:
                weights.raw_data = bytes(len(weights.raw_data))
        head = {"version": self.library.__version__, "gpu": self.library.gpu, "flags": flags, "shapes": shapes}
        detailed = config.profiling_verbosity == self.library.ProfilingVerbosity.DETAILED
        text = json.dumps({**head, "detailed": detailed})
        return memoryview(MAGIC + text.encode() + b"\n" + model.SerializeToString())


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
        self.flags: list[str] = fields["flags"]
        self.empty = "STRIP_PLAN" in self.flags
        self.detailed: bool = fields["detailed"]
        self.profile = {name: tuple(shape) for name, shape in fields["shapes"].items()}
        graph = onnx.load_model_from_string(model).graph
        self.inputs = [Tensor(library, value) for value in graph.input]
        self.outputs = [Tensor(library, value) for value in graph.output]
        self.tensors = {tensor.name: tensor for tensor in (*self.inputs, *self.outputs)}

    @property
    def device_memory_size_v2(self) -> int:
        return 64 * sum(int(np.prod(shape)) for shape in self.profile.values())

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

    def create_execution_context(self, strategy: Any) -> Context | None:
        assert strategy == self.library.ExecutionContextAllocationStrategy.USER_MANAGED
        if self.empty or "create_execution_context" in self.library.refuse:
            self.logger._error("cannot create a context:\nweights are missing")
            return None
        return Context(self)

    def create_engine_inspector(self) -> Inspector:
        return Inspector(self)


class Inspector:
    def __init__(self, engine: CudaEngine) -> None:
        self.engine = engine
        self.execution_context: Any = None

    def get_engine_information(self, form: Any) -> str:
        assert form == self.engine.library.LayerInformationFormat.JSON and self.execution_context is not None
        nodes = onnx.load_model_from_string(self.engine.model).graph.node
        return json.dumps({"Layers": [node.op_type for node in nodes] if self.engine.detailed else []})


class Context:
    running = threading.Lock()

    def __init__(self, engine: CudaEngine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.memory: tuple[int, int] | None = None
        self.session = onnxruntime.InferenceSession(engine.model, providers=["CPUExecutionProvider"])

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if tuple(shape) != self.engine.profile.get(name) or "set_input_shape" in self.engine.library.refuse:
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
        library.cuda.streams[stream_handle].append(self._compute)
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


REAL_NAMES = {
    Logger: "ILogger", Network: "INetworkDefinition", Parser: "OnnxParser", ParserRefitter: "OnnxParserRefitter",
    Reader: "OnnxParser", Refitter: "Refitter", Profile: "IOptimizationProfile", TimingCache: "ITimingCache",
    Config: "IBuilderConfig", Builder: "Builder", Runtime: "Runtime", CudaEngine: "ICudaEngine",
    Inspector: "EngineInspector", Context: "IExecutionContext",
}  # fmt: skip


def invented(real: Any) -> list[str]:
    """What the fake has and the real module has not."""
    fake = FakeTensorRT(11, FakeCuda())
    lacking = [
        f"{name}.{member}"
        for cls, name in REAL_NAMES.items()
        for member in vars(cls)
        if not member.startswith("_")
        and member not in ("library", "running")
        and not hasattr(getattr(real, name), member)
    ]
    enums = {name: value for name, value in vars(fake).items() if isinstance(value, enum.EnumMeta)}
    enums["ILogger.Severity"] = Logger.Severity
    for name, values in enums.items():
        members = real.ILogger.Severity if name == "ILogger.Severity" else getattr(real, name)
        lacking += [f"{name}.{member.name}" for member in values if member.name not in members.__members__]
    return lacking
