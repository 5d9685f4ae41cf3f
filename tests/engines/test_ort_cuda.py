"""The decisions about onnxruntime's CUDA provider, on a stand-in for the library."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.doubling_graph import cuda, numbers
from support.fake_onnxruntime import REFUSES_GRAPHS, FakeOnnxRuntime, Value

from handfirst.engines import ort, ort_cuda, ort_failures
from handfirst.engines.engine import Array, Placed
from handfirst.engines.errors import BundleError, EngineError, lacks_memory
from handfirst.engines.ort import OrtEngine
from handfirst.engines.ort_binding import OrtArray, Place
from handfirst.engines.ort_cuda import CudaOptions, cuda_settings
from handfirst.runtime import running


def check(engine: OrtEngine, x: Array) -> None:
    """Arrays in, a handle and an array out; then the handle in."""
    found = engine.run_resident({"x": x}, ("y",))
    assert isinstance(found["y"], OrtArray)
    np.testing.assert_array_equal(running.host(found["z"]), 2 * x)
    np.testing.assert_array_equal(engine.run_resident({"x": found["y"]}, ())["z"], 2 * x + 2)
    np.testing.assert_array_equal(running.host(found["y"]), x + 1)


def test_cuda_options_say_what_is_meant() -> None:
    found = cuda_settings(CudaOptions(device=1), "float32", graphs=True)
    assert found["device_id"] == "1" and found["use_tf32"] == "0" and found["enable_cuda_graph"] == "1"
    assert found["arena_extend_strategy"] == "kSameAsRequested" and found["cudnn_conv_algo_search"] == "EXHAUSTIVE"
    other = cuda_settings(CudaOptions(prefer_nhwc=True, conv_search="HEURISTIC"), "bfloat16", graphs=False)
    assert other["use_tf32"] == "1" and other["prefer_nhwc"] == "1" and other["enable_cuda_graph"] == "0"
    assert all(isinstance(value, str) for value in (found | other).values())


def test_a_session_is_opened_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeOnnxRuntime()
    engine = cuda(library, monkeypatch, device=2)
    assert engine.place == "onnxruntime cuda:2" and library.preloaded == 1
    (session,) = library.sessions
    assert session.entries == {"session.load_model_format": "ONNX", "session.intra_op.allow_spinning": "0"}
    assert session.settings == cuda_settings(CudaOptions(device=2), "float32", graphs=True)


def test_a_gpu_that_is_not_here_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeOnnxRuntime()
    monkeypatch.setattr(ort, "nvidia_driver", lambda index=0: None if index else "a driver")
    with pytest.raises(EngineError, match=r"^small: there is no GPU 2 here"):
        cuda(library, monkeypatch, device=2)
    assert not library.sessions


def test_the_third_run_of_a_set_of_shapes_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeOnnxRuntime()
    engine = cuda(library, monkeypatch)
    for seed in range(5):
        check(engine, numbers(3, seed))
    for seed in range(3):
        check(engine, numbers(4, seed))
    assert library.sessions[0].log == [-1, -1, *[1] * 8, -1, -1, *[2] * 4]


def test_handles_outlive_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = cuda(FakeOnnxRuntime(), monkeypatch)
    kept = [engine.run_resident({"x": numbers(3, seed)}, ("y", "z")) for seed in range(6)]
    for seed, found in enumerate(kept):
        np.testing.assert_array_equal(running.host(found["y"]), numbers(3, seed) + 1)
        np.testing.assert_array_equal(running.host(found["z"]), numbers(3, seed) * 2)


def test_what_is_kept_is_copied_once_something_is_captured_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """y is kept and z is not; a replay copies its input from a handle, too."""
    monkeypatch.setattr(Value, "copies", 0)
    engine = cuda(FakeOnnxRuntime(), monkeypatch)
    x, counted, kept = engine.upload(numbers(3)), [], []
    for _ in range(5):
        kept.append(engine.run_resident({"x": x}, ("y",))["y"])
        counted.append(Value.copies)
    assert counted == [0, 0, 2, 4, 6]
    engine.run_resident({"x": engine.upload(numbers(4))}, ("y",))  # other shapes, without a graph yet
    assert Value.copies == 7
    for found in kept:
        np.testing.assert_array_equal(running.host(found), numbers(3) + 1)


def test_what_is_kept_beside_a_loop_s_graphs_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop captures over its own memory, and its replays write into the session's, too."""
    monkeypatch.setattr(Value, "copies", 0)
    engine = cuda(FakeOnnxRuntime(), monkeypatch)
    memory = {name: numbers(2, seed) for seed, name in enumerate("xyz")}
    x = memory["x"].copy()
    launch = engine.bind({name: Placed(a.ctypes.data, a.shape, "float32") for name, a in memory.items()})
    kept = [engine.run_resident({"x": numbers(3)}, ("y",))["y"]]
    assert Value.copies == 0
    launch()
    np.testing.assert_array_equal(memory["z"], 2 * x)
    kept.append(engine.run_resident({"x": numbers(3)}, ("y",))["y"])
    assert Value.copies == 1
    launch()
    for found in kept:
        np.testing.assert_array_equal(running.host(found), numbers(3) + 1)


def test_what_is_not_wanted_is_not_copied_out_of_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs as they are, a capture, a replay: one graph serves whatever is wanted."""
    library = FakeOnnxRuntime()
    engine = cuda(library, monkeypatch)
    for seed, wanted in enumerate([("y",), ("z",), ("y",), ("z",), None]):
        x = numbers(3, seed)
        found = {name: running.host(value) for name, value in engine.run_resident({"x": x}, ("y",), wanted).items()}
        assert set(found) == set(wanted or ("y", "z"))
        for name, value in found.items():
            np.testing.assert_array_equal(value, {"y": x + 1, "z": 2 * x}[name])
    assert library.sessions[0].log == [-1, -1, 1, 1, 1]


def test_only_so_many_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeOnnxRuntime()
    engine = cuda(library, monkeypatch)
    for rows in range(1, ort_cuda.MOST_GRAPHS + 3):
        check(engine, numbers(rows))
        check(engine, numbers(rows, 1))
    assert max(graph for graph in library.sessions[0].log if graph is not None) == ort_cuda.MOST_GRAPHS
    assert library.sessions[0].log[-4:] == [-1] * 4


def test_threads_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = cuda(FakeOnnxRuntime(), monkeypatch)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: check(engine, numbers(3, seed)), range(100)))


def test_without_graphs_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeOnnxRuntime()
    check(cuda(library, monkeypatch, graphs=False), numbers())
    assert library.sessions[0].log == [None, None] and not library.sessions[0].capturing


def test_a_session_that_cannot_capture_is_opened_without(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeOnnxRuntime(refuses_to_open=True)
    with pytest.warns(
        RuntimeWarning, match=r"^small: runs without a CUDA graph, as .* cannot use the graph capture .* nodes"
    ) as caught:
        engine = cuda(library, monkeypatch)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    for seed in range(4):
        check(engine, numbers(3, seed))
    assert set(library.sessions[0].log) == {None}


def test_the_refusal_is_worded_as_the_library_words_it() -> None:
    """Its text is in the library's own files, that of the CPU too."""
    capi = Path(pytest.importorskip("onnxruntime").__file__).parent / "capi"
    libraries = [path for path in capi.iterdir() if path.name.startswith("onnxruntime_pybind11_state")]
    said = REFUSES_GRAPHS.partition("FAIL : ")[2].partition(" as requested")[0].encode()
    assert said.endswith(b"graph capture feature") and any(said in path.read_bytes() for path in libraries)
    assert ort_failures.refuses_capture(REFUSES_GRAPHS)


def test_a_loop_whose_capture_fails_runs_without(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeOnnxRuntime(refuses_to_capture=True)
    engine = cuda(library, monkeypatch)
    memory = {name: numbers(2, seed) for seed, name in enumerate("xyz")}
    launch = engine.bind({name: Placed(a.ctypes.data, a.shape, "float32") for name, a in memory.items()})
    with pytest.warns(RuntimeWarning, match="small: runs without a CUDA graph") as caught:
        for _ in range(3):
            launch()
    assert len(caught) == 1
    np.testing.assert_array_equal(memory["z"], 2 * memory["x"])
    first, *rest = library.sessions[0].log
    assert first is not None and first > ort_cuda.MOST_GRAPHS and rest == [ort_cuda.NO_GRAPH] * 3


def test_where_memory_ran_out_graphs_stay_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for less next time gets its graphs; the words are those that make a batch smaller."""
    library = FakeOnnxRuntime()
    engine = cuda(library, monkeypatch)
    memory = {name: numbers(2, seed) for seed, name in enumerate("xyz")}
    launch = engine.bind({name: Placed(a.ctypes.data, a.shape, "float32") for name, a in memory.items()})
    session = library.sessions[0]
    run, left = session.run_with_iobinding, [1]

    def full(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise RuntimeError(f"[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : {SIGNATURE}CUDA failure 2: out of memory")
        run(*arguments)

    session.run_with_iobinding = full  # type: ignore[method-assign]
    with pytest.raises(EngineError, match=r"^small: onnxruntime failed: CUDA failure 2: out of memory$") as caught:
        launch()
    assert lacks_memory(caught.value)
    launch()
    assert session.log[-1] is not None and session.log[-1] > ort_cuda.MOST_GRAPHS


def test_a_capture_that_fails_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeOnnxRuntime(refuses_to_capture=True)
    engine = cuda(library, monkeypatch)
    with pytest.warns(RuntimeWarning, match="small: runs without a CUDA graph") as caught:
        for seed in range(4):
            check(engine, numbers(3, seed))
    assert len(caught) == 1
    assert library.sessions[0].log == [-1, -1, 1, *[-1] * 6]


def test_a_library_that_cannot_copy_on_the_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeOnnxRuntime()
    for version in ("1.9.3", "1.25.1", "0.30"):
        library.__version__ = version
        with pytest.raises(EngineError, match=rf"onnxruntime-gpu {version} is too old.*1\.26.*pip install"):
            cuda(library, monkeypatch)
    for version in ("1.26.0", "1.32.0.dev1", "2.0"):
        library.__version__ = version
        cuda(library, monkeypatch)


def test_only_so_many_graphs_of_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library keeps one for every loop and thread until its session ends; what comes later runs without."""
    library = FakeOnnxRuntime()
    graphs = ort_cuda.CudaGraphs(library, None, Place(library, "cuda"), ["y"], "net")

    def named(options: Any) -> int:
        entries = options().entries
        assert entries["disable_synchronize_execution_providers"] == "1"
        return int(entries["gpu_graph_id"])

    loops = [graphs.loop() for _ in range(ort_cuda.MOST_LOOPS)]
    first = [named(loop) for loop in loops[:-1]]
    assert len({*first}) == len(first) and min(first) > ort_cuda.MOST_GRAPHS
    with ThreadPoolExecutor(1) as other:
        assert other.submit(named, loops[0]).result() == first[0]  # the same graph's name, captured once more
        assert named(loops[-1]) == other.submit(named, loops[1]).result() == ort_cuda.NO_GRAPH
        assert other.submit(named, loops[0]).result() == first[0]
    assert [named(loop) for loop in loops[:-1]] == first


def test_what_is_wrong_is_said_in_one_line_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BundleError, match=r"small: not a graph .*protobuf.*; export the bundle again"):
            cuda(FakeOnnxRuntime(broken=True), monkeypatch)
        with pytest.raises(EngineError, match=r"does not start.*onnxruntime-gpu\[cuda,cudnn\]"):
            cuda(FakeOnnxRuntime(no_driver=True), monkeypatch)


class Refusing(FakeOnnxRuntime):
    """Says `reason` to whoever opens a session."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason, self.opened = reason, 0

    def InferenceSession(self, *_: object, **__: object) -> None:  # noqa: N802
        self.opened += 1
        raise RuntimeError(self.reason)

    def preload_dlls(self) -> None:
        print("Failed to load libcublasLt.so.13")


SIGNATURE = 2 * (
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:121 std::conditional_t<THRW, void, "
    "onnxruntime::common::Status> onnxruntime::CudaCall(ERRTYPE, const char*, const char*, ERRTYPE, const char*, const "
    "char*, int) [with ERRTYPE = cudaError; bool THRW = true; std::conditional_t<THRW, void, "
    "onnxruntime::common::Status> = void] "
)
"""What the library's messages from a GPU begin with, as people reported them."""


@pytest.mark.parametrize(
    ("reason", "kind", "advice"),
    [
        ("CUDA failure 2: out of memory ; GPU=0 ; hostname=x", EngineError, "--low-memory"),
        (SIGNATURE + "CUDA failure 2: out of memory ; GPU=0 ; hostname=x", EngineError, "--low-memory"),
        (SIGNATURE + "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", EngineError, "--low-memory"),
        (SIGNATURE + "CUDA failure 35: CUDA driver version is insufficient", EngineError, "update its driver"),
        ("CUDA_PATH is set but CUDA wasn't able to be loaded. Please", EngineError, r"gpu\[cuda,cudnn\]"),
        ("BFCArena: Failed to allocate memory for requested buffer of size 4096", EngineError, "--low-memory"),
        ("/x/libcudnn.so.9: cannot open shared object file: No such file", EngineError, r"gpu\[cuda,cudnn\]"),
        ('Error loading "onnxruntime_providers_cuda.dll" which depends on "x.dll"', EngineError, r"gpu\[cuda,cudnn\]"),
        ("Load model failed: protobuf parsing failed", BundleError, "export the bundle again"),
    ],
)
def test_three_kinds_of_failure_are_three_messages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reason: str, kind: type, advice: str
) -> None:
    library = Refusing(reason)
    with pytest.raises(kind, match=advice) as caught:
        cuda(library, monkeypatch)
    what = reason.removeprefix(SIGNATURE).removeprefix("BFCArena: ")
    assert library.opened == 1 and f"({what[:30]}" in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 450
    assert capsys.readouterr().out == ""


def test_what_the_provider_lacks_is_asked_of_the_loader(tmp_path: Path) -> None:
    (tmp_path / "capi").mkdir()
    module = SimpleNamespace(__file__=str(tmp_path / "__init__.py"))
    assert "libonnxruntime_providers_shared.so: cannot open shared object file" in ort_failures.missing_library(module)
