"""The stand-in for TensorRT: what builds plans."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.fake_trt_parser import Logger, Network

if TYPE_CHECKING:
    from support.fake_tensorrt import FakeTensorRT

MAGIC = b"fake plan\n"


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, name: str, low: Any, best: Any, high: Any) -> None:
        assert all(a <= b <= c for a, b, c in zip(low, best, high, strict=True)), "expected sizes in order"
        self.shapes[name] = (tuple(low), tuple(best), tuple(high))


class TimingCache:
    def __init__(self, blob: bytes) -> None:
        self.blob = blob

    def serialize(self) -> memoryview:
        return memoryview(self.blob)


class Config:
    progress_monitor: Any = None
    profiling_verbosity: Any = None

    def __init__(self, library: FakeTensorRT) -> None:
        self.library = library
        self.flags = {library.BuilderFlag.TF32}
        self.profiles: list[Profile] = []
        self.timings: TimingCache | None = None

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        assert pool == self.library.MemoryPoolType.WORKSPACE
        self.library.limits.append(pool_size)

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
        assert config.profiling_verbosity == self.library.ProfilingVerbosity.DETAILED
        if not _phases(config.progress_monitor) or not self.library.while_building():
            return None
        assert len(config.profiles) == 1 and config.timings is not None and network.model is not None
        shapes = config.profiles[0].shapes
        for tensor in network.inputs:
            if any(a not in (-1, b) for each in shapes[tensor.name] for a, b in zip(tensor.shape, each, strict=True)):
                self.logger._error(f"Network input {tensor.name}\nhas another shape than the profile")
                return None
        if "build_serialized_network" in self.library.refuse:
            self.logger._error("Error Code 10:\n  could not find any implementation")
            return None
        self.library.flags.append(sorted(flag.name for flag in config.flags))
        self.library.profiles.append(shapes)
        config.timings.blob = config.timings.blob or f"{self.library.gpu} timings".encode()
        text = json.dumps({"version": self.library.__version__, "gpu": self.library.gpu, "shapes": shapes})
        return memoryview(MAGIC + text.encode() + b"\n" + network.model.SerializeToString())


def _phases(monitor: Any) -> bool:
    """Two steps, the first with one phase of four steps in it that begins twice; whether nobody stops it."""
    monitor.phase_start("Building engine", None, 2)
    for _ in range(2):
        monitor.phase_start("Timing tactics", "Building engine", 4)
        if not all(monitor.step_complete("Timing tactics", step) for step in range(4)):
            return False
        monitor.phase_finish("Timing tactics")
    going = bool(monitor.step_complete("Building engine", 0) and monitor.step_complete("Building engine", 1))
    monitor.phase_finish("Building engine")
    return going
