"""Which plans are built, kept and thrown away, over a stand-in for the library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support.trt_world import World, check, graph, inputs
from support.weighted_graph import SPEC, weighted

from handfirst.engines.graph import Graph
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.engines.tensorrt.engine import KEPT


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
    assert world.library.flags == [[], ["TF32"]]


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
