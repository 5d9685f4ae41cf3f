"""For which shapes plans are made: the very ones, or all that a spec allows; and the engine that runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import FakeTensorRT
from support.weighted_graph import SPEC, weighted

from handfirst.engines.cache import EngineCache
from handfirst.engines.cuda.driver import Driver
from handfirst.engines.errors import EngineError
from handfirst.engines.graph import Graph
from handfirst.engines.ort import OrtEngine
from handfirst.engines.spec import AxisLimits, EngineSpec
from handfirst.engines.tensorrt import engine as trt
from handfirst.engines.tensorrt.build import profile_of, ranged, written
from handfirst.engines.tensorrt.engine import TrtEngine
from handfirst.engines.tensorrt.memory import Arena

ROWS = AxisLimits(usual=2, most=4)
WIDTHS = AxisLimits(least=4, usual=8, most=16, multiple=4)
FREE = SPEC.model_copy(update={"limits": {"batch": ROWS, "width": WIDTHS}})
SHAPES = {"x": (2, 1, 6, 8), "scale": (2,)}


def limited(**limits: AxisLimits) -> EngineSpec:
    return SPEC.model_copy(update={"limits": limits})


def inputs(batch: int, width: int) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(width)
    return {"x": random.standard_normal((batch, 1, 6, width), np.float32), "scale": np.arange(batch)}


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        limited(batch=ROWS),
        limited(width=WIDTHS),
        limited(batch=ROWS, width=AxisLimits(usual=8, most=8, least=8)),
    ],
)
def test_a_plan_is_for_the_very_shapes_where_no_free_size_is_limited(spec: EngineSpec) -> None:
    assert not ranged(spec)
    profile = profile_of(spec, SHAPES)
    assert profile == {"x": ((2, 1, 6, 8),) * 3, "scale": ((2,),) * 3}
    assert written(profile) == "scale=2 x=2x1x6x8"


def test_a_plan_is_for_all_sizes_where_they_are_free_within_limits() -> None:
    profile = profile_of(FREE, SHAPES)
    assert profile == {"x": ((1, 1, 6, 4), (2, 1, 6, 8), (4, 1, 6, 16)), "scale": ((1,), (2,), (4,))}
    assert written(profile) == "scale=1..2..4 x=1x1x6x4..2x1x6x8..4x1x6x16"


@pytest.mark.parametrize("api", [10, 11])
def test_one_plan_runs_every_size_and_nothing_beyond(api: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt, "nvidia_driver", lambda index=0: Driver("Fake GPU", "13.0", (9, 0)))
    cuda = FakeCuda()
    library, cache = FakeTensorRT(api, cuda), EngineCache(tmp_path / "cache")
    graph = Graph("net", FREE, weighted().SerializeToString(), digest="d", source="net.onnx")
    for _ in range(2):  # the second engine finds the plan in the cache
        engine = TrtEngine(graph, cache, library, Arena(cuda))
        for batch, width in ((2, 8), (1, 4), (4, 16), (3, 12)):
            given = inputs(batch, width)
            np.testing.assert_allclose(engine.run(given)["y"], OrtEngine(graph).run(given)["y"], rtol=1e-5)
        with pytest.raises(EngineError, match="net: expected width 4 to 16 in steps of 4, got 20"):
            engine.run(inputs(2, 20))
        with pytest.raises(EngineError, match="net: expected batch 1 to 4, got 5"):
            engine.run(inputs(5, 8))
        engine.close()
    assert library.builds == 1 and library.profiles == [profile_of(FREE, SHAPES)]
    assert cuda.blocks == {}
