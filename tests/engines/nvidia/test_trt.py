"""The TensorRT engine over a stand-in for the library, in the shapes of TensorRT 10 and 11; outputs are compared with
onnxruntime's. Nothing here touches a GPU or TensorRT itself (tests/engines/test_tensorrt_rtx.py builds real plans)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import REFUSED, FakeTensorRT
from support.weighted_graph import SPEC, externalise, weighted

from handfirst.engines.cache import EngineCache
from handfirst.engines.errors import BundleError, EngineError
from handfirst.engines.files import sha256
from handfirst.engines.graph import Graph
from handfirst.engines.nvidia import trt
from handfirst.engines.nvidia.cuda_runtime import CudaRuntime
from handfirst.engines.nvidia.driver import Driver
from handfirst.engines.nvidia.trt import KEPT, TrtEngine
from handfirst.engines.nvidia.trt_memory import Arena
from handfirst.engines.ort import OrtEngine
from handfirst.engines.spec import EngineSpec, TensorSpec


class World:
    """A machine with a GPU, its library and its cache."""

    def __init__(self, api: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.cache = EngineCache(folder)
        self.cuda = FakeCuda()
        self.arena = Arena(self.cuda)
        self.library = FakeTensorRT(api, self.cuda)
        self.have("Fake GPU")

    def have(self, gpu: str, driver: str = "13.0") -> None:
        self.library.gpu = gpu
        self.monkeypatch.setattr(trt, "nvidia_driver", lambda: Driver(gpu, driver, (9, 0)))

    def open(self, graph: Graph, **options: Any) -> TrtEngine:
        return TrtEngine(graph, self.cache, self.library, self.arena, **options)


@pytest.fixture(params=[10, 11], ids=["TensorRT 10", "TensorRT 11"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(request.param, tmp_path / "cache", monkeypatch)


def graph(seed: int = 0, model: onnx.ModelProto | None = None, external: bool = False) -> Graph:
    model, data = model or weighted(seed), {}
    if external:
        model, blob = externalise(model, "w.bin")
        data = {"w.bin": blob}
    text = model.SerializeToString()
    return Graph("net", SPEC, text, data, digest=sha256(text + b"".join(data.values())), source="b: net.onnx")


def inputs(batch: int = 2, width: int = 5, seed: int = 3) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(seed)
    return {"x": random.standard_normal((batch, 1, 6, width), np.float32), "scale": np.arange(batch)}


def check(engine: TrtEngine, graph: Graph, given: Mapping[str, np.ndarray[Any, Any]] | None = None) -> None:
    given = given or inputs()
    np.testing.assert_allclose(engine.run(given)["y"], OrtEngine(graph).run(given)["y"], rtol=1e-5)


def one_line(kind: type[Exception], message: str, act: Callable[[], object]) -> None:
    with pytest.raises(kind, match=message) as caught:
        act()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("external", [False, True])
def test_it_computes_what_onnxruntime_computes(world: World, external: bool) -> None:
    engine = world.open(graph(external=external))
    assert (engine.name, engine.spec) == ("net", SPEC)
    check(engine, graph())
    strided = {"x": inputs(width=10)["x"][..., ::2], "scale": np.arange(4)[::2]}
    check(engine, graph(), strided)
    assert engine.run(inputs())["y"] is not engine.run(inputs())["y"]


def test_a_plan_is_built_once_per_machine(world: World) -> None:
    check(world.open(graph()), graph())
    check(world.open(graph()), graph())
    assert world.library.builds == 1
    check(world.open(graph(1)), graph(1))
    assert world.library.builds == 2


def change_gpu(world: World) -> None:
    world.have("Another GPU")


def change_driver(world: World) -> None:
    world.have("Fake GPU", "13.1")


def change_library(world: World) -> None:
    world.library.__version__ += ".1"


def damage(world: World) -> None:
    for file in world.cache.folder.iterdir():
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)


def outdate(world: World) -> None:
    """The plan is as it was stored, but the library does not take it."""
    key = world.open(graph())._key({name: (array.shape,) * 3 for name, array in inputs().items()})
    assert world.cache.load(key)
    world.cache.store(key, b"fake plan\n" + b'{"version": "8.6", "gpu": "Fake GPU"}\n')


@pytest.mark.parametrize("change", [change_gpu, change_driver, change_library, damage, outdate])
def test_a_plan_that_does_not_fit_is_built_again(world: World, change: Callable[[World], None]) -> None:
    check(world.open(graph()), graph())
    change(world)
    check(world.open(graph()), graph())
    assert world.library.builds == 2
    check(world.open(graph()), graph())
    assert world.library.builds == 2, "the new plan was not kept"


def test_timings_are_kept_and_serve_other_graphs(world: World) -> None:
    check(world.open(graph()), graph())
    check(world.open(graph(1)), graph(1))
    assert world.library.timings_seen == [b"", b"Fake GPU timings"]
    change_gpu(world)
    check(world.open(graph(1)), graph(1))
    assert world.library.timings_seen[2:] == [b""]


def test_float32_is_float32(world: World) -> None:
    world.open(graph()).run(inputs())
    world.open(replace(graph(), precision="bfloat16")).run(inputs())
    world.open(graph(), strip=True).run(inputs())
    assert world.library.flags == [[], ["TF32"], ["REFIT", "STRIP_PLAN"]]


@pytest.mark.parametrize("external", [False, True])
def test_one_stripped_plan_serves_every_fine_tune(world: World, external: bool) -> None:
    for seed in range(3):
        check(world.open(graph(seed, external=external), strip=True), graph(seed))
    assert (world.library.builds, world.library.refits) == (1, 3)
    other = weighted(operator="Mul")
    check(world.open(graph(model=other, external=external), strip=True), graph(model=other))
    assert world.library.builds == 2
    check(world.open(graph(external=external)), graph())
    assert (world.library.builds, world.library.refits) == (3, 4)


@pytest.mark.parametrize("call", ["refit_from_bytes", "refit_cuda_engine"])
def test_a_refit_that_fails_says_what_to_do(world: World, call: str) -> None:
    world.library.refuse.add(call)
    one_line(EngineError, "open it without strip", lambda: world.open(graph(), strip=True).run(inputs()))


def test_plans_of_the_last_shapes_stay(world: World) -> None:
    engine = world.open(graph())
    widths = [*range(5, 5 + KEPT), 5, 20]  # 5 is used again, so that 6 makes room for 20
    for width in widths:
        check(engine, graph(), inputs(width=width))
    assert world.library.builds == KEPT + 1
    blocks = len(world.cuda.blocks)
    loads = count_loads(world)
    check(engine, graph(), inputs(width=5))
    assert loads == []
    check(engine, graph(), inputs(width=6))
    assert loads == [1] and world.library.builds == KEPT + 1
    assert len(world.cuda.blocks) == blocks == 3 * KEPT + 1


def count_loads(world: World) -> list[int]:
    loads: list[int] = []
    deserialise = world.library.Runtime.deserialize_cuda_engine  # type: ignore[attr-defined]

    def counted(self: Any, plan: bytes) -> Any:
        loads.append(1)
        return deserialise(self, plan)

    world.monkeypatch.setattr(world.library.Runtime, "deserialize_cuda_engine", counted)
    return loads


def test_fixed_shapes_are_prepared_on_opening(world: World) -> None:
    model = weighted()
    for value in (*model.graph.input, *model.graph.output):
        sizes = {"batch": 2, "width": 5, "all": 30}
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_value = sizes[axis.dim_param]
    ends = [
        tuple(
            TensorSpec(
                name=t.name,
                dtype=t.dtype,
                shape=tuple({"batch": 2, "width": 5, "all": 30}.get(str(a), a) for a in t.shape),
            )
            for t in tensors
        )
        for tensors in (SPEC.inputs, SPEC.outputs)
    ]
    fixed = Graph("net", EngineSpec(inputs=ends[0], outputs=ends[1]), model.SerializeToString(), digest="f")
    engine = world.open(fixed)
    assert world.library.builds == 1
    check(engine, fixed)
    assert world.library.builds == 1


def test_the_arena_is_as_large_as_the_largest_and_shared(world: World) -> None:
    first, second = world.open(graph()), world.open(graph(1))
    check(first, graph(), inputs(width=50))
    large = world.arena.size
    check(second, graph(1), inputs(width=5))
    assert world.arena.size == large and world.cuda.allocations.count(large) == 1
    check(second, graph(1), inputs(width=90))
    assert world.arena.size > large and large not in map(len, world.cuda.blocks.values())
    check(first, graph(), inputs(width=50))  # its context has to learn of the new address
    first.close()
    check(second, graph(1), inputs(width=90))
    second.close()
    assert world.cuda.blocks == {} and world.cuda.streams == {} and world.arena.size == 0
    check(world.open(graph()), graph())


def test_a_full_gpu_is_an_error_that_can_be_left_behind(world: World) -> None:
    engine = world.open(graph())
    check(engine, graph(), inputs(width=5))
    world.cuda.room = 10_000
    one_line(EngineError, "cudaMalloc", lambda: engine.run(inputs(width=5000)))
    check(engine, graph(), inputs(width=5))


def test_a_closed_engine_says_so_and_gives_everything_back(world: World) -> None:
    engine = world.open(graph())
    check(engine, graph())
    engine.close()
    engine.close()
    for use in (lambda: engine.run(inputs()), engine.inspect, lambda: engine.prepare({})):
        one_line(EngineError, "net: the engine is closed", use)
    assert world.cuda.blocks == {} and world.cuda.streams == {}


def test_many_threads_share_engines(world: World) -> None:
    graphs = [graph(0), graph(1)]
    engines = [world.open(each) for each in graphs]
    wanted = {(i, w): OrtEngine(graphs[i]).run(inputs(width=w))["y"] for i in (0, 1) for w in (5, 6, 7)}
    wrong: list[object] = []

    def work(number: int) -> None:
        for step in range(12):
            i, width = (number + step) % 2, 5 + (number * step) % 3
            try:
                np.testing.assert_allclose(engines[i].run(inputs(width=width))["y"], wanted[i, width], rtol=1e-5)
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and world.library.builds == 6


def test_layers_can_be_inspected(world: World) -> None:
    engine = world.open(graph())
    one_line(EngineError, "no plan to inspect yet", engine.inspect)
    engine.prepare({name: array.shape for name, array in inputs().items()})
    assert engine.inspect() == {"Layers": ["Conv", "Add", "Reshape", "Cast", "Unsqueeze", "Add"]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("build_serialized_network", "could not compile the graph: Error Code 10: could not find any implementation$"),
        ("create_execution_context", "create_execution_context failed: cannot create a context: weights are missing$"),
        ("set_input_shape", r"set_input_shape of x to \[2, 1, 6, 5\] failed"),
        ("set_tensor_address", "set_tensor_address of x failed: no tensor x"),
        ("execute_async_v3", "execute_async_v3 failed: Error Code 1: Cuda Runtime"),
    ],
)
def test_every_refusal_is_one_line_with_the_library_s_reason(world: World, call: str, message: str) -> None:
    engine = world.open(graph())
    world.library.refuse.add(call)
    one_line(EngineError, message, lambda: engine.run(inputs()))
    engine.close()
    assert world.cuda.blocks == {}, "memory was lost"
    world.library.refuse.clear()
    check(world.open(graph()), graph())


def test_shape_tensors_are_refused(world: World) -> None:
    world.library.refuse.add("get_tensor_location")
    one_line(BundleError, "reads x, scale, y as a shape", lambda: world.open(graph()).run(inputs()))


def test_the_parser_s_complaints_are_one_line(world: World) -> None:
    model = weighted()
    model.graph.node[3].op_type = model.graph.node[4].op_type = REFUSED
    engine = world.open(graph(model=model))
    with pytest.raises(BundleError) as caught:
        engine.run(inputs())
    assert str(caught.value) == (
        "b: net.onnx: not a graph that TensorRT can load (In node 3 with operator: Det UNSUPPORTED_NODE: no such op; "
        "In node 4 with operator: Det UNSUPPORTED_NODE: no such op)"
    )


def test_what_is_no_graph_is_refused_on_opening(world: World) -> None:
    one_line(BundleError, "expected an ONNX graph", lambda: world.open(Graph("net", SPEC, b"MZ" * 100)))
    assert world.cuda.streams == {}


def test_another_spec_is_refused_before_and_after_the_build(world: World) -> None:
    check(world.open(graph()), graph())
    changed = EngineSpec(inputs=SPEC.inputs, outputs=(TensorSpec(name="y", dtype="float16", shape=(1, "c", "d")),))
    for digest in (graph().digest, "new"):
        other = Graph("net", changed, graph().model, digest=digest, source="net.onnx")
        one_line(BundleError, "output y is float16", lambda other=other: world.open(other).run(inputs()))
    assert world.library.builds == 1


def test_wrong_inputs_are_refused_before_anything_is_built(world: World) -> None:
    engine = world.open(graph())
    one_line(EngineError, "missing input scale", lambda: engine.run({"x": inputs()["x"]}))
    one_line(EngineError, "'x' expected float32", lambda: engine.run({**inputs(), "x": np.zeros((2, 1, 6, 5))}))
    assert world.library.builds == 0


def test_an_old_library_is_refused(world: World) -> None:
    world.library.__version__ = "10.7.0"
    world.library.OnnxParser = object  # as before 10.13: no load_initializer
    one_line(EngineError, r"tensorrt 10\.7\.0 is too old.*pip install 'handfirst\[tensorrt\]' --upgrade",
             lambda: world.open(graph()))  # fmt: skip


def test_without_a_gpu_nothing_is_imported(tmp_path: Path) -> None:
    code = """
import sys
for name in ("tensorrt", "cuda"):
    sys.modules[name] = None
from handfirst.engines.nvidia import trt
from handfirst.engines.nvidia.driver import Driver
from handfirst.engines.errors import EngineError
from handfirst.engines.graph import Graph
from support.weighted_graph import SPEC
for driver in (None, Driver("x", "13.0", (9, 0))):
    trt.nvidia_driver = lambda: driver
    try:
        trt.TrtEngine(Graph("net", SPEC, b""), cache=object())
    except EngineError as error:
        print(error)
"""
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=path)
    first, second = said.stdout.splitlines()
    assert first == "net: TensorRT needs an NVIDIA GPU, and no driver answers here; use engine 'cpu'"
    assert "tensorrt is not installed" in second and "pip install 'handfirst[tensorrt]'" in second


def test_cuda_calls_that_fail_are_named() -> None:
    pytest.importorskip("cuda.bindings")
    with pytest.raises(EngineError, match="CUDA: cudaMalloc failed: cudaError"):
        CudaRuntime().allocate(1 << 60)
    with pytest.raises(EngineError, match="CUDA: cudaMemcpyAsync failed: cudaError"):
        CudaRuntime().upload(0, np.zeros(4), 0)
    with pytest.raises(ValueError, match="contiguous"):
        CudaRuntime().upload(0, np.zeros((4, 4)).T[1:], 0)
