"""Builds take minutes: what is told meanwhile, what they may take, and who must not wait for them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from support.trt_world import World, check, graph, inputs, one_line

from handfirst.engines.building import compiling, listening
from handfirst.engines.errors import EngineError
from handfirst.engines.tensorrt import engine as trt
from handfirst.engines.tensorrt.build import WORKSPACE, workspace
from handfirst.engines.tensorrt.progress import Phases


def beside(work: Callable[[], object]) -> Callable[[], bool]:
    """What a build is given to do in its middle: another thread does the work, and must not wait for the build."""

    def done() -> bool:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(10)
        return not thread.is_alive()

    return done


def test_engines_run_while_another_is_built(world: World) -> None:
    other = world.open(graph(1))
    check(other, graph(1))
    world.library.while_building = beside(lambda: check(other, graph(1)))
    check(world.open(graph()), graph())


def test_what_the_cache_holds_is_opened_and_timed_while_another_is_built(world: World) -> None:
    check(world.open(graph(1)), graph(1))
    world.library.while_building = beside(lambda: world.open(graph(1)).run_timed(inputs()))
    for timed in (False, True):
        engine = world.open(graph(2 + timed))
        assert engine.run_timed(inputs())[1] if timed else engine.run(inputs())


def test_a_plan_that_no_longer_loads_is_built_anew_while_others_run(world: World) -> None:
    other = world.open(graph(1))
    check(other, graph(1))
    key = world.open(graph())._key({name: (array.shape,) * 3 for name, array in inputs().items()})
    world.cache.store(key, b"no plan")
    built = []
    world.library.while_building = lambda: built.append(beside(lambda: check(other, graph(1)))()) or built[-1]
    check(world.open(graph()), graph())
    assert built == [True]


def test_an_engine_that_is_closed_while_it_is_built_says_so(world: World) -> None:
    engine = world.open(graph())
    world.library.while_building = beside(engine.close)
    one_line(EngineError, "net: the engine is closed", lambda: engine.run(inputs()))
    assert world.cuda.blocks == {} and world.cuda.streams == {}


def test_the_limit_is_half_of_what_is_free_and_never_all_of_a_large_gpu(world: World) -> None:
    world.open(graph()).run(inputs())
    world.cuda.room = 1 << 30
    free, _ = world.cuda.memory()
    world.open(graph(1)).run(inputs())
    assert world.library.limits == [WORKSPACE, free // 2]
    assert workspace(141 << 30) == 4 << 30 and workspace(3 << 30) == 3 << 29 and workspace(0) == 0


def test_a_build_tells_how_far_it_is(world: World) -> None:
    """Two steps of which each has four: eighths. What is begun again is not told, nor is what comes from the cache."""
    heard: list[tuple[str, float | None]] = []
    with listening(lambda role, share: heard.append((role, share))):
        world.open(graph()).run(inputs())
        world.open(graph()).run(inputs())
    assert heard == [("net", None), *(("net", eighths / 8) for eighths in (1, 2, 3, 4)), ("net", 1.0)]
    world.open(graph(1)).run(inputs())
    assert len(heard) == 6, "heard of what came after the block"


def test_a_build_that_fails_is_over_too(world: World) -> None:
    heard: list[float | None] = []
    world.library.refuse.add("build_serialized_network")
    with listening(lambda role, share: heard.append(share)), pytest.raises(EngineError):
        world.open(graph()).run(inputs())
    assert heard[0] is None and heard[-1] == 1


def test_ctrl_c_ends_a_build_and_passes_through_no_library(world: World) -> None:
    def interrupt(role: str, share: float | None) -> None:
        if share == 0.25:
            raise KeyboardInterrupt

    engine = world.open(graph())
    with listening(interrupt), pytest.raises(KeyboardInterrupt):
        engine.run(inputs())
    assert not trt._BUILDING.locked()
    check(engine, graph())


def test_phases_count_within_the_step_of_the_phase_around_them() -> None:
    phases = Phases()
    assert phases.share() == 0
    phases.begin("whole", 4)
    phases.complete("whole", 0)
    phases.begin("part", 2)
    assert phases.share() == 0.25
    phases.complete("part", 0)
    assert phases.share() == 0.375
    phases.begin("piece", 0)  # none at all counts as one
    phases.complete("piece", 0)
    assert phases.share() == 0.5
    phases.finish("part")
    phases.finish("piece")
    phases.finish("unknown")
    phases.complete("whole", 3)
    phases.complete("whole", 9)
    assert phases.share() == 1


def test_what_is_compiled_by_two_threads_is_told_of_both() -> None:
    heard: list[tuple[str, float | None]] = []

    def other() -> None:
        with compiling("b") as tell:
            tell(0.5)

    with listening(lambda role, share: heard.append((role, share))), compiling("a") as tell:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        tell(0.2)
        tell(0.1)
    assert heard == [("a", None), ("b", None), ("b", 0.5), ("b", 1.0), ("a", 0.2), ("a", 1.0)]


def test_the_layers_of_a_plan_are_told_by_the_shapes_that_it_runs(world: World) -> None:
    engine = world.open(graph())
    assert engine.layers() == {}
    engine.run(inputs())
    engine.run(inputs(width=7))
    told = engine.layers()
    assert list(told) == ["scale=2 x=2x1x6x5", "scale=2 x=2x1x6x7"]
    kinds = [layer["LayerType"] for layer in told["scale=2 x=2x1x6x5"]["Layers"]]
    assert len(kinds) == len(graph_nodes()) and set(kinds) == set(graph_nodes())
    world.library.refuse.add("get_engine_information")
    one_line(EngineError, "inspector gave no JSON", engine.layers)
    engine.close()
    one_line(EngineError, "the engine is closed", engine.layers)


def graph_nodes() -> list[str]:
    import onnx

    return [node.op_type for node in onnx.load_model_from_string(graph().model).graph.node]
