"""onnxruntime's GPU times against stand-ins for the library and for CUDA; nothing here touches a GPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from support.fake_cuda import FakeCuda
from support.fake_onnxruntime import FakeOnnxRuntime, Session

from handfirst.engines import ort
from handfirst.engines.cuda.device import Lane
from handfirst.engines.engine import TimedEngine
from handfirst.engines.errors import EngineError
from handfirst.engines.graph import Graph
from handfirst.engines.ort import OrtEngine
from handfirst.engines.ort_cuda import CudaOptions, cuda_settings
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.runtime.timing.spans import Recording, recorded, recording

X, Y, Z = (TensorSpec(name=name, dtype="float32", shape=("batch", 2)) for name in "xyz")
GRAPH = Graph("small", EngineSpec(inputs=(X,), outputs=(Y, Z)), b"not read by the stand-in")
INPUTS = {"x": np.ones((3, 2), np.float32)}
TAKES = 0.75


class World:
    """A fake GPU; a run of the fake library takes TAKES seconds of its clock, on the stream that it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **refusals: bool) -> None:
        self.cuda, self.library = FakeCuda(), FakeOnnxRuntime(**refusals)
        monkeypatch.setattr(ort, "import_onnxruntime", lambda: self.library)
        self.lane = Lane(self.cuda, self.cuda.stream())
        monkeypatch.setattr(ort, "process_lane", lambda index: self.lane)
        plain = Session.run_with_iobinding

        def run(session: Session, binding: Any, options: Any) -> None:
            plain(session, binding, options)
            if stream := int(session.settings.get("user_compute_stream", 0)):
                self.cuda.streams[stream].append(self.compute)

        monkeypatch.setattr(Session, "run_with_iobinding", run)

    def compute(self) -> None:
        self.cuda.now += TAKES

    def open(self) -> OrtEngine:
        return OrtEngine(GRAPH, "cuda")


def test_every_session_computes_on_the_stream_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "user_compute_stream" not in cuda_settings(CudaOptions(), "float32", False)
    world = World(monkeypatch)
    engines = [world.open() for _ in range(2)]
    handed = [session.settings["user_compute_stream"] for session in world.library.sessions]
    assert handed == [str(world.lane.stream)] * 2
    assert all(engine.lane is world.lane for engine in engines)


def test_a_session_that_a_pool_opens_tells_the_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        engine = pool.submit(world.open).result()
    assert engine.run_timed(INPUTS)[1] == TAKES


def test_nobody_waits_for_the_clock_who_did_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.open().run(INPUTS)
    assert not world.cuda.counts["wait"] and not world.cuda.events


def test_a_run_tells_the_time_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    engine = world.open()
    assert isinstance(engine, TimedEngine)
    for _ in range(4):  # plain, plain, captured, replayed
        outputs, seconds = engine.run_timed(INPUTS, ("z",))
        assert seconds == TAKES
        y, z = outputs["y"], outputs["z"]
        assert isinstance(y, np.ndarray) and not isinstance(z, np.ndarray)
        np.testing.assert_array_equal(y, INPUTS["x"] + 1)
        np.testing.assert_array_equal(z.numpy(), 2 * INPUTS["x"])
    assert world.library.sessions[0].log == [-1, -1, 1, 1]
    assert not world.cuda.events
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run_timed(INPUTS)


def test_spans_of_both_kinds_of_run_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = recorded(World(monkeypatch).open())
    with recording(Recording()) as heard:
        found = engine.run(INPUTS)
        engine.run_resident(INPUTS, ("y", "z"))  # type: ignore[attr-defined]
    assert [span.device for span in heard.spans] == [TAKES * 1e9] * 2
    np.testing.assert_array_equal(found["z"], 2 * INPUTS["x"])


def test_without_cuda_core_the_hosts_clock_must_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(index: int) -> Lane:
        raise EngineError("cuda-core is not installed")

    world = World(monkeypatch)
    monkeypatch.setattr(ort, "process_lane", absent)
    outputs, seconds = world.open().run_timed(INPUTS)
    assert seconds is None
    np.testing.assert_array_equal(outputs["y"], INPUTS["x"] + 1)


def test_on_the_cpu_there_is_no_other_clock() -> None:
    from handfirst.runtime.profile.peak import product_graph

    graph = product_graph(4, 1, "float32")
    engine = OrtEngine(graph, "cpu", 1)
    given = {name: np.eye(4, dtype=np.float32) for name in "xw"}
    outputs, seconds = engine.run_timed(given)
    assert seconds is None
    np.testing.assert_array_equal(outputs["y"], np.eye(4))
