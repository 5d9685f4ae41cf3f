"""A stand-in for the parts of TensorRT that the engine uses: refuses what the real one refuses.

Graphs are computed with onnxruntime, so outputs are real. What TensorRT 11 took out is not there at all; what only
TensorRT 10 needs is asked for where the fake plays 10.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from support.fake_cuda import FakeCuda
from support.fake_trt_builder import Builder, Config, Profile, TimingCache
from support.fake_trt_engine import Context, CudaEngine, Inspector, Runtime
from support.fake_trt_parser import DTYPES, Logger, Monitor, Network, Parser, enum_of


class FakeTensorRT:
    """The module; tensorrt/test_rtx.py compares the names of its parts with the real ones.

    Knobs: `refuse` holds names of calls that fail, `gpu` is what plans are built for, `while_building` is called in
    the middle of every build and tells whether it goes on.
    """

    def __init__(self, api: int, cuda: FakeCuda, gpu: str = "Fake GPU") -> None:
        self.api, self.cuda, self.gpu = api, cuda, gpu
        self.__version__ = {10: "10.16.0", 11: "11.1.0"}[api]
        self.refuse: set[str] = set()
        self.builds = 0
        self.while_building: Callable[[], bool] = lambda: True
        self.limits: list[int] = []
        self.timings_seen: list[bytes] = []
        self.runtimes = 0
        self.flags: list[list[str]] = []
        self.profiles: list[dict[str, tuple[tuple[int, ...], ...]]] = []
        self.DataType = enum_of("DataType", *sorted(DTYPES.values()))
        self.BuilderFlag = enum_of("BuilderFlag", "TF32")
        self.ExecutionContextAllocationStrategy = enum_of("Strategy", "STATIC", "ON_PROFILE_CHANGE", "USER_MANAGED")
        self.LayerInformationFormat = enum_of("LayerInformationFormat", "ONELINE", "JSON")
        self.MemoryPoolType = enum_of("MemoryPoolType", "WORKSPACE")
        self.ProfilingVerbosity = enum_of("ProfilingVerbosity", "LAYER_NAMES_ONLY", "NONE", "DETAILED")
        self.TensorIOMode = enum_of("TensorIOMode", "NONE", "INPUT", "OUTPUT")
        self.TensorLocation = enum_of("TensorLocation", "DEVICE", "HOST")
        typed = {"STRONGLY_TYPED": 1} if api == 10 else {}
        self.NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", typed)  # type: ignore[misc]
        self.ILogger = Logger
        self.IProgressMonitor = Monitor
        self.OnnxParser = _bound(Parser, self)
        self.Builder = _bound(Builder, self)
        self.Runtime = _bound(Runtime, self)


def _bound(cls: type, library: FakeTensorRT) -> type:
    return type(cls.__name__, (cls,), {"library": library})


REAL_NAMES = {
    Logger: "ILogger", Network: "INetworkDefinition", Parser: "OnnxParser", Profile: "IOptimizationProfile",
    TimingCache: "ITimingCache", Config: "IBuilderConfig", Builder: "Builder", Runtime: "Runtime",
    CudaEngine: "ICudaEngine", Context: "IExecutionContext", Monitor: "IProgressMonitor", Inspector: "EngineInspector",
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
