"""A machine with a GPU, as far as the TensorRT engine can tell; graphs, inputs and what they must give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import FakeTensorRT
from support.weighted_graph import SPEC, externalise, weighted

from handfirst.engines.cache import EngineCache
from handfirst.engines.cuda.driver import Driver
from handfirst.engines.files import sha256
from handfirst.engines.graph import Graph
from handfirst.engines.ort import OrtEngine
from handfirst.engines.tensorrt import engine as trt
from handfirst.engines.tensorrt.engine import TrtEngine
from handfirst.engines.tensorrt.memory import Arena


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
        self.monkeypatch.setattr(trt, "nvidia_driver", lambda index=0: Driver(gpu, driver, (9, 0)))

    def open(self, graph: Graph, **options: Any) -> TrtEngine:
        return TrtEngine(graph, self.cache, self.library, self.arena, **options)


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
