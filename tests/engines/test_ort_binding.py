"""Tensors that stay where they are: handles on the CPU provider."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.doubling_graph import SPEC, cuda, graph, numbers
from support.fake_engine import FakeEngine
from support.fake_onnxruntime import FakeOnnxRuntime

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.engine import Array, DeviceEngine, Engine, Placed
from handfirst.engines.errors import BundleError, EngineError
from handfirst.engines.ort import OrtEngine
from handfirst.engines.ort_binding import OrtArray
from handfirst.engines.spec import AxisLimits
from handfirst.runtime import running
from handfirst.runtime.profile.peak import product_graph
from handfirst.runtime.running import MOST_ROWS
from handfirst.runtime.systems.two_stage.job import demo_pose
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.roles import ROLES
from handfirst.runtime.systems.two_stage.settings import read_settings
from handfirst.runtime.systems.two_stage.system import TwoStage


class Plain:
    """An engine that can only `run`, as those of other libraries."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.spec = engine.name, engine.spec
        self._engine = engine

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        assert all(isinstance(value, np.ndarray) for value in inputs.values())
        return self._engine.run(inputs, wanted)

    def close(self) -> None:
        self._engine.close()


class Everything(Plain):
    """An engine that computes all of its outputs, whatever is wanted."""

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        found = self._engine.run(inputs)
        return {name: value for name, value in found.items() if wanted is None or name in wanted}


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    """The demo bundle's, on the CPU provider."""
    bundle = Bundle.open(demo_bundle_path())
    opened = {role: bundle.engine(role, "cpu", threads=1) for role in ROLES}
    yield opened
    for engine in opened.values():
        engine.close()


def system(engines: Mapping[str, Engine]) -> TwoStage:
    bundle = Bundle.open(demo_bundle_path())
    return TwoStage(read_settings(bundle.manifest), engines, bundle.tokenizer())


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shape of every handle that is brought to the host."""
    seen: list[tuple[int, ...]] = []
    plain = OrtArray.numpy

    def numpy(self: OrtArray) -> Array:
        seen.append(self.shape)
        return plain(self)

    monkeypatch.setattr(OrtArray, "numpy", numpy)
    return seen


def test_only_what_is_wanted_is_bound() -> None:
    bound: list[Any] = []

    class Session:
        def __init__(self, plain: Any) -> None:
            self.plain = plain

        def __getattr__(self, name: str) -> Any:
            return getattr(self.plain, name)

        def run_with_iobinding(self, binding: Any, options: Any) -> None:
            self.plain.run_with_iobinding(binding, options)
            bound.append([list(value.shape()) for value in binding.get_outputs()])

    engine, x = OrtEngine(graph()), numbers()
    engine._session = Session(engine._session)
    found = engine.run({"x": x}, ("z",))
    assert list(found) == ["z"] and len(bound[0]) == 1
    np.testing.assert_array_equal(found["z"], (x + x) * x)
    assert list(engine.run_resident({"x": x}, ("y",), ("y",))) == ["y"]
    assert list(engine.run({"x": x})) == ["y", "z"]
    with pytest.raises(EngineError, match="unknown output w; it gives y, z"):
        engine.run({"x": x}, ("y", "w"))


def test_what_is_kept_is_a_handle_and_the_rest_are_arrays() -> None:
    engine, x = OrtEngine(graph()), numbers()
    assert isinstance(engine, DeviceEngine)
    found = engine.run_resident({"x": engine.upload(x)}, {"z"})
    assert isinstance(found["y"], np.ndarray) and isinstance(found["z"], OrtArray)
    assert (found["z"].shape, found["z"].dtype, found["z"].place) == ((3, 2), "float32", "onnxruntime cpu:0")
    plain = engine.run({"x": x})
    np.testing.assert_array_equal(found["y"], plain["y"])
    np.testing.assert_array_equal(found["z"].numpy(), plain["z"])
    again = OrtEngine(graph("other")).run_resident({"x": found["z"]}, ())
    np.testing.assert_array_equal(again["y"], plain["z"] * 2)


def test_a_handle_holds_what_it_held() -> None:
    engine, x = OrtEngine(graph()), numbers()
    was, handle = x.copy(), engine.upload(x)
    x[:] = 0
    handle.numpy()[:] = 1
    np.testing.assert_array_equal(handle.numpy(), was)
    kept = engine.run_resident({"x": handle}, ("y",))["y"]
    for seed in range(5):
        engine.run_resident({"x": numbers(seed=seed)}, ("y",))
    engine.close()
    np.testing.assert_array_equal(running.host(kept), was * 2)
    with pytest.raises(EngineError, match="closed"):
        engine.run_resident({"x": handle}, ())


def test_any_layout_and_many_threads() -> None:
    engine = OrtEngine(graph(), threads=1)
    wide = np.asfortranarray(numbers(64))
    np.testing.assert_array_equal(engine.run({"x": wide})["z"], wide * 2 * wide)

    def twice(seed: int) -> bool:
        x = numbers(1 + seed % 7, seed)
        kept = engine.run_resident({"x": x}, ("y",))["y"]
        return np.array_equal(running.host(engine.run_resident({"x": kept}, ())["y"]), x * 4)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(twice, range(200)))


def test_handles_of_another_place_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = OrtEngine(graph())
    handle = engine.upload(numbers())
    fake = FakeEngine(SPEC, "fake", lambda inputs: {})
    with pytest.raises(EngineError, match=r"^fake: input 'x' expected an array, got a handle on onnxruntime cpu:0; "):
        fake.run({"x": handle})  # type: ignore[dict-item]
    on_gpu = cuda(FakeOnnxRuntime(), monkeypatch)
    with pytest.raises(
        EngineError, match="an array or a handle on onnxruntime cuda:0, got a handle on onnxruntime cpu"
    ):
        on_gpu.run_resident({"x": handle}, ())
    with pytest.raises(EngineError, match="got a handle on onnxruntime cuda:0; give its numpy"):
        engine.run_resident({"x": on_gpu.upload(numbers())}, ())
    with pytest.raises(EngineError, match=r"input 'x' expected float32 \[batch, 2\], got float32 \[1, 2, 1\]"):
        engine.run_resident({"x": engine.upload(np.zeros((1, 2, 1), np.float32))}, ())


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_demo_paints_the_same_latents_to_the_last_bit(
    guidance: float, engines: dict[str, Engine], downloads: list[tuple[int, ...]]
) -> None:
    asked = Request(
        pose=demo_pose(), prompt="a woman, left hand open palm", seed=3, steps=3, guidance=guidance,
        hand_guidance=guidance, eta=0.5,
    )  # fmt: skip
    kept = system(engines).render(asked)
    assert len(kept.hands) > 0
    assert len(downloads) == 1  # the last step's feature; no residual ever
    plain = system({role: Plain(engine) for role, engine in engines.items()}).render(asked)
    assert len(downloads) == 1
    mixed = {**engines, "controlnet": Plain(engines["controlnet"]), "mask_head": Plain(engines["mask_head"])}
    whole = {**engines, "hand_unet": Everything(engines["hand_unet"])}
    for other in (plain, system(mixed).render(asked), system(whole).render(asked)):
        np.testing.assert_array_equal(kept.latents, other.latents)
        np.testing.assert_array_equal(kept.mask, other.mask)
        np.testing.assert_array_equal(kept.image, other.image)


def test_what_must_be_cut_into_pieces_is_not_kept() -> None:
    engine, x = OrtEngine(graph()), numbers(MOST_ROWS + 1)
    assert running.upload(x, engine) is x
    found = running.run_kept(engine, {"x": x}, ("y", "z"), engine)
    np.testing.assert_array_equal(found["y"], x * 2)
    x = x[:MOST_ROWS]
    assert isinstance(running.upload(x, engine, engine), OrtArray)
    assert running.upload(x, engine, Plain(engine)) is x
    assert isinstance(running.run_kept(engine, {"x": x}, ("y",), engine)["y"], OrtArray)
    assert isinstance(running.run_kept(engine, {"x": x}, ("y",), Plain(engine))["y"], np.ndarray)


def test_what_an_engine_may_not_take_at_once_is_not_kept() -> None:
    plain = graph()
    narrow = replace(plain, spec=plain.spec.model_copy(update={"limits": {"batch": AxisLimits(usual=2, most=2)}}))
    wide, engine, x = OrtEngine(plain), OrtEngine(narrow), numbers(3)
    assert running.upload(x, wide, engine) is x
    assert isinstance(running.run_kept(wide, {"x": x}, ("y",), engine)["y"], np.ndarray)
    np.testing.assert_array_equal(running.run_kept(engine, {"x": x}, ("y",), wide)["y"], x * 2)
    assert isinstance(running.run_kept(wide, {"x": x[:2]}, ("y",), engine)["y"], OrtArray)


@pytest.mark.parametrize("data", [b"", b"MZ" * 100, b"\x18\x00\x00\x00ORTM" + b"\0" * 100])
def test_no_graph_names_a_remedy(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"small: not a graph that onnxruntime can load \(.*\); export the bundle"):
        OrtEngine(replace(graph(), model=data))


def test_bound_runs_read_and_write_memory_of_others() -> None:
    """What a loop on a device does with onnxruntime, here in memory of the processor."""
    graph = product_graph(8, 3, "float32")
    engine = OrtEngine(graph, "cpu", 1)
    x, w, y = (np.zeros((8, 8), np.float32) for _ in range(3))
    placed = {name: Placed(a.ctypes.data, a.shape, "float32") for name, a in {"x": x, "w": w, "y": y}.items()}
    launch = engine.bind(placed)
    for seed in (1, 2):
        x[:], w[:] = np.random.default_rng(seed).standard_normal((2, 8, 8)).astype(np.float32)
        launch()
        np.testing.assert_array_equal(y, engine.run({"x": x, "w": w})["y"])
    assert engine.lane is None
    with pytest.raises(EngineError, match=r"expected float32 .*8.*got float32 .*7"):
        engine.bind(placed | {"x": Placed(0, (7, 8), "float32")})
    with pytest.raises(EngineError, match="no memory was given for output y"):
        engine.bind({name: placed[name] for name in "xw"})
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        launch()
