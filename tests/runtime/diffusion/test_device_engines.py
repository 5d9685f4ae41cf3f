"""The loop on a stand-in for a GPU over the real engines: onnxruntime's CPU provider bound to the device's memory, and
TensorRT's over a stand-in for its library. The embedded model's pictures equal the host loop's to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_cuda import FakeCuda
from support.fake_stream_engine import FakeStreamEngine
from support.fake_tensorrt import FakeTensorRT

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.cache import EngineCache
from handfirst.engines.cuda.driver import Driver
from handfirst.engines.cuda.lane import Lane
from handfirst.engines.engine import Engine, Placed
from handfirst.engines.opening import open_engines
from handfirst.engines.ort import OrtEngine
from handfirst.engines.tensorrt import engine as trt
from handfirst.engines.tensorrt.engine import TrtEngine
from handfirst.engines.tensorrt.memory import Arena
from handfirst.runtime.systems.two_stage.job import demo_pose
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.roles import ROLES
from handfirst.runtime.systems.two_stage.settings import read_settings
from handfirst.runtime.systems.two_stage.system import TwoStage

LOOPING = ("hand_unet", "controlnet", "body_unet")
BUNDLE = Bundle.open(demo_bundle_path())


class OnStream(FakeStreamEngine):
    """onnxruntime's own `bind` over the stand-in's memory, which is the host's; it runs when the stream does."""

    def bind(self, tensors: Mapping[str, Placed]) -> Callable[[], None]:
        assert isinstance(self._engine, OrtEngine) and self.lane is not None
        run, lane = self._engine.bind(tensors), self.lane
        cuda: Any = lane.cuda
        return lambda: cuda.put(lane.stream, run, "engine")


@pytest.fixture(scope="module")
def engines() -> dict[str, Engine]:
    return open_engines(BUNDLE, ROLES, "cpu", 1)


def model(engines: Mapping[str, Engine]) -> TwoStage:
    return TwoStage(read_settings(BUNDLE.manifest), engines, BUNDLE.tokenizer())


def asked(steps: int) -> Request:
    return Request(pose=demo_pose(), prompt="a person, left hand open palm", seed=5, steps=steps)


def compare(here: TwoStage, there: TwoStage, steps: int) -> None:
    found, wanted = here.render(asked(steps)), there.render(asked(steps))
    np.testing.assert_array_equal(found.latents, wanted.latents)
    np.testing.assert_array_equal(found.image, wanted.image)
    np.testing.assert_array_equal(found.mask, wanted.mask)


def one_step_more(cuda: FakeCuda, here: TwoStage) -> dict[str, int]:
    """What a job of three steps in each stage asks of the device more than one of two, when both have run before."""
    counted = []
    for steps in (2, 3):
        here.render(asked(steps))
        cuda.counts.clear()
        here.render(asked(steps))
        counted.append(cuda.counts.copy())
    assert counted[0]["wait"] == 2  # one per stage, when its last latents come back
    return {name: more for name in counted[1] if (more := counted[1][name] - counted[0][name])}


def test_onnxruntime_launches_a_network_and_the_kernel(engines: dict[str, Engine]) -> None:
    """Per step no copy, no wait: two launches where there is one network, three where the ControlNet comes before."""
    cuda = FakeCuda()
    lane = Lane(cuda, cuda.stream())
    here = model({**engines, **{role: OnStream(engines[role], lane, captured=False) for role in LOOPING}})
    compare(here, model(engines), 3)
    assert one_step_more(cuda, here) == {"engine": 1 + 2, "step": 1 + 1}


def test_tensorrt_launches_one_graph(
    engines: dict[str, Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Per step no copy, no wait, one launch, in either stage. The library's stand-in computes with onnxruntime."""
    monkeypatch.setattr(trt, "nvidia_driver", lambda index=0: Driver("Fake GPU", "13.0", (9, 0)))
    cuda = FakeCuda()
    library, arena, cache = FakeTensorRT(11, cuda), Arena(cuda), EngineCache(tmp_path)
    made = {role: TrtEngine(BUNDLE.graph(role), cache, library, arena) for role in LOOPING}
    here = model({**engines, **made})
    compare(here, model({**engines, **{role: Host(engine) for role, engine in made.items()}}), 2)
    assert one_step_more(cuda, here) == {"graph": 1 + 1}
    for engine in made.values():
        engine.close()


class Host:
    """An engine that can only `run`: its loop is NumPy's."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.spec, self.run, self.close = engine.name, engine.spec, engine.run, engine.close
