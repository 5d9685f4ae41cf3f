"""Device times against a stand-in for CUDA whose device has a clock of its own; nothing here touches a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import FakeTensorRT
from support.fake_trt_engine import COMPUTING
from support.weighted_graph import SPEC, weighted

from handfirst.engines.cache import EngineCache
from handfirst.engines.cuda.device import Lane
from handfirst.engines.cuda.driver import Driver
from handfirst.engines.cuda.timing import StreamTimer
from handfirst.engines.engine import TimedEngine
from handfirst.engines.errors import EngineError
from handfirst.engines.files import sha256
from handfirst.engines.graph import Graph
from handfirst.engines.ort import OrtEngine
from handfirst.engines.tensorrt import engine as trt
from handfirst.engines.tensorrt.engine import TrtEngine
from handfirst.engines.tensorrt.memory import Arena
from handfirst.runtime.profile import memory
from handfirst.runtime.timing.spans import Recording, recorded, recording

INPUTS = {"x": np.ones((2, 1, 6, 5), np.float32), "scale": np.arange(2)}


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


@pytest.fixture
def engine(cuda: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrtEngine:
    monkeypatch.setattr(trt, "nvidia_driver", lambda index=0: Driver("Fake GPU", "13.0", (9, 0)))
    return TrtEngine(graph(), EngineCache(tmp_path), FakeTensorRT(10, cuda), Arena(cuda))


def graph() -> Graph:
    text = weighted(0).SerializeToString()
    return Graph("net", SPEC, text, digest=sha256(text))


def test_only_what_the_stream_did_between_the_events_counts(cuda: FakeCuda) -> None:
    stream = cuda.stream()
    work = cuda.streams[stream]

    def takes(seconds: float) -> None:
        def step() -> None:
            cuda.now += seconds

        work.append(step)

    timer = StreamTimer(cuda, stream)
    takes(5)
    with timer.work():
        takes(2)
        takes(0.5)
    takes(7)
    cuda.wait(stream)
    assert timer.seconds() == 2.5
    timer.close()
    assert not cuda.events


def test_an_event_that_cannot_be_made_leaves_none_behind(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    make = cuda.event

    def second() -> int:
        if cuda.events:
            raise EngineError("CUDA: cudaEventCreate failed")
        return make()

    monkeypatch.setattr(cuda, "event", second)
    with pytest.raises(EngineError, match="cudaEventCreate"):
        StreamTimer(cuda, cuda.stream())
    assert not cuda.events


def test_tensorrt_times_computing_without_copies(engine: TrtEngine, cuda: FakeCuda) -> None:
    outputs, seconds = engine.run_timed(INPUTS)
    assert seconds == COMPUTING
    assert cuda.now == COMPUTING + 3  # two copies up, one down
    np.testing.assert_allclose(outputs["y"], OrtEngine(graph()).run(INPUTS)["y"], rtol=1e-5)
    assert not cuda.events


def test_a_run_that_fails_leaves_no_events(engine: TrtEngine, cuda: FakeCuda) -> None:
    engine._trt.refuse.add("execute_async_v3")
    with pytest.raises(EngineError, match="execute_async_v3"):
        engine.run_timed(INPUTS)
    assert not cuda.events
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run_timed(INPUTS)


def test_a_span_holds_the_device_time(engine: TrtEngine, cuda: FakeCuda) -> None:
    assert isinstance(engine, TimedEngine)
    wrapped = recorded(engine)
    wrapped.run(INPUTS)
    before = cuda.now
    with recording(Recording()) as heard:
        wrapped.run(INPUTS)
    assert [span.device for span in heard.spans] == [COMPUTING * 1e9]
    assert cuda.now - before == COMPUTING + 3


def test_gpu_memory_is_what_is_not_free(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "process_lane", lambda gpu: Lane(cuda, 0))
    cuda.allocate(12345)
    assert memory.gpu_bytes("cuda") == 12345
    assert memory.gpu_bytes("cpu") is None


def test_a_machine_without_cuda_has_no_gpu_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(gpu: int) -> Lane:
        raise EngineError("cuda-core is not installed")

    monkeypatch.setattr(memory, "process_lane", absent)
    assert memory.gpu_bytes("tensorrt") is None
