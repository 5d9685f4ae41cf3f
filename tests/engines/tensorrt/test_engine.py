"""The TensorRT engine over a stand-in for the library, in the shapes of TensorRT 10 and 11; outputs are compared with
onnxruntime's. Nothing here touches a GPU or TensorRT itself (tests/engines/tensorrt/test_rtx.py builds real plans)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from support.fake_trt_parser import REFUSED
from support.trt_world import World, check, graph, inputs, one_line
from support.weighted_graph import SPEC, weighted

from handfirst.engines.cuda.driver import Driver
from handfirst.engines.errors import BundleError, EngineError
from handfirst.engines.graph import Graph
from handfirst.engines.ort import OrtEngine
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.engines.tensorrt import engine as trt


@pytest.mark.parametrize("external", [False, True])
def test_it_computes_what_onnxruntime_computes(world: World, external: bool) -> None:
    engine = world.open(graph(external=external))
    assert (engine.name, engine.spec) == ("net", SPEC)
    check(engine, graph())
    strided = {"x": inputs(width=10)["x"][..., ::2], "scale": np.arange(4)[::2]}
    check(engine, graph(), strided)
    assert engine.run(inputs())["y"] is not engine.run(inputs())["y"]


def test_the_arena_is_as_large_as_the_largest_and_shared(world: World) -> None:
    first, second = world.open(graph()), world.open(graph(1))
    check(first, graph(), inputs(width=50))
    large = world.arena.size
    check(second, graph(1), inputs(width=5))
    assert world.arena.size == large and world.cuda.allocations.count(large) == 1
    before = first.computes_in
    assert before == second.computes_in
    check(second, graph(1), inputs(width=90))
    assert world.arena.size > large and large not in map(len, world.cuda.blocks.values())
    assert first.computes_in == second.computes_in != before  # what was captured there is stale
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
    one_line(EngineError, "OUT_OF_MEMORY", lambda: engine.run(inputs(width=5000)))
    check(engine, graph(), inputs(width=5))


def test_a_closed_engine_says_so_and_gives_everything_back(world: World) -> None:
    engine = world.open(graph())
    check(engine, graph())
    engine.close()
    engine.close()
    for use in (lambda: engine.run(inputs()), lambda: engine.prepare({})):
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
from handfirst.engines.tensorrt import engine as trt
from handfirst.engines.cuda.driver import Driver
from handfirst.engines.errors import EngineError
from handfirst.engines.graph import Graph
from support.weighted_graph import SPEC
for driver in (None, Driver("x", "13.0", (9, 0))):
    trt.nvidia_driver = lambda index=0: driver
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


def test_an_output_of_another_shape_than_the_spec_says_is_an_error(world: World) -> None:
    honest = graph()
    wrong = EngineSpec(inputs=SPEC.inputs, outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 1, 7)),))
    engine = world.open(Graph("net", wrong, honest.model, digest=honest.digest, source=honest.source))
    one_line(EngineError, r"net: output 'y' expected float32 \[2, 1, 7\]", lambda: engine.run(inputs()))


def test_a_gpu_that_is_not_here_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt, "nvidia_driver", lambda index=0: None if index else Driver("x", "13.0", (9, 0)))
    one_line(EngineError, "and there is no GPU 3 here; use engine 'cpu'", lambda: trt.TrtEngine(graph(), gpu=3))
