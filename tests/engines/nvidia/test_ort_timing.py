"""onnxruntime's GPU times against stand-ins for the library and for CUDA; nothing here touches a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.fake_cuda import FakeCuda
from support.fake_onnxruntime import FakeOnnxRuntime, Session

from handfirst.engines import ort
from handfirst.engines.engine import TimedEngine
from handfirst.engines.errors import BundleError, EngineError
from handfirst.engines.graph import Graph
from handfirst.engines.nvidia import timing
from handfirst.engines.nvidia.timing import timed_engines
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
        monkeypatch.setattr(timing, "CudaRuntime", lambda: self.cuda)
        plain = Session.run_with_iobinding

        def run(session: Session, binding: Any, options: Any) -> None:
            plain(session, binding, options)
            if stream := int(session.settings.get("user_compute_stream", 0)):
                self.cuda.streams[stream].append(self.compute)

        monkeypatch.setattr(Session, "run_with_iobinding", run)

    def compute(self) -> None:
        self.cuda.now += TAKES

    def open(self) -> OrtEngine:
        with timed_engines():
            return OrtEngine(GRAPH, "cuda")


def test_the_stream_is_handed_over_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "user_compute_stream" not in cuda_settings(CudaOptions(), "float32", False)
    assert cuda_settings(CudaOptions(stream=4711), "float32", False)["user_compute_stream"] == "4711"
    world = World(monkeypatch)
    plain = OrtEngine(GRAPH, "cuda")
    assert plain.run_timed(INPUTS)[1] is None
    assert not world.cuda.streams


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
    assert not world.cuda.streams
    with pytest.raises(EngineError, match="closed"):
        engine.run_timed(INPUTS)


def test_spans_of_both_kinds_of_run_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = recorded(World(monkeypatch).open())
    with recording(Recording()) as heard:
        found = engine.run(INPUTS)
        engine.run_resident(INPUTS, ("y", "z"))  # type: ignore[attr-defined]
    assert [span.device for span in heard.spans] == [TAKES * 1e9] * 2
    np.testing.assert_array_equal(found["z"], 2 * INPUTS["x"])


def test_a_session_that_cannot_be_opened_gives_its_stream_back(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, broken=True)
    with pytest.raises(BundleError):
        world.open()
    assert not world.cuda.streams


def test_without_cuda_bindings_the_hosts_clock_must_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> FakeCuda:
        raise EngineError("cuda-bindings is not installed")

    world = World(monkeypatch)
    monkeypatch.setattr(timing, "CudaRuntime", absent)
    outputs, seconds = world.open().run_timed(INPUTS)
    assert seconds is None
    np.testing.assert_array_equal(outputs["y"], INPUTS["x"] + 1)


def test_on_the_cpu_there_is_no_other_clock() -> None:
    from handfirst.runtime.profile.peak import product_graph

    graph = product_graph(4, 1, "float32")
    with timed_engines():
        engine = OrtEngine(graph, "cpu", 1)
    given = {name: np.eye(4, dtype=np.float32) for name in "xw"}
    outputs, seconds = engine.run_timed(given)
    assert seconds is None
    np.testing.assert_array_equal(outputs["y"], np.eye(4))
