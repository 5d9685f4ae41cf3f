"""OpenVINO against onnxruntime, on graphs made here and on the demo's hand UNet."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from onnx import helper
from support.layered_graph import Array, closeness, feed, graph, has_bfloat16, layers, tensor

from handfirst.engines import ov
from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.errors import EngineError
from handfirst.engines.graph import Graph
from handfirst.engines.ort import OrtEngine
from handfirst.engines.spec import EngineSpec
from handfirst.engines.verify import psnr

pytestmark = pytest.mark.usefixtures("own_cache")


def demo_unet() -> tuple[Graph, dict[str, Array]]:
    bundle = Bundle.open(demo_bundle_path())
    made, golden = bundle.graph("hand_unet"), bundle.golden()
    return made, {t.name: golden[f"hand_unet.in.{t.name}"].astype(t.dtype) for t in made.spec.inputs}


def test_float32_is_float32_though_weights_are_stored_as_float16() -> None:
    assert closeness(layers(), feed()) >= 100


def test_the_demos_hand_unet_in_float32() -> None:
    made, inputs = demo_unet()
    assert closeness(made, inputs) >= 100


@pytest.mark.parametrize("make", [lambda: (layers(), feed()), demo_unet], ids=["layers", "the demo's hand UNet"])
def test_bfloat16_is_coarser_or_refused(make: Callable[[], tuple[Graph, dict[str, Array]]]) -> None:
    made, inputs = make()
    if has_bfloat16():
        assert 25 <= closeness(made, inputs, "bfloat16") < 90
    else:
        with pytest.raises(EngineError, match="does not compute bfloat16"):
            ov.OvEngine(made, "bfloat16")


def test_a_cpu_without_bfloat16_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ov, "_capabilities", lambda: ["FP32"])
    with pytest.raises(EngineError, match="use engine openvino instead"):
        ov.OvEngine(layers(), "bfloat16")
    ov.OvEngine(layers())


def test_another_precision_is_refused() -> None:
    with pytest.raises(EngineError, match="float32, bfloat16, got 'float16'"):
        ov.OvEngine(layers(), "float16")


def test_float16_tensors_and_scalars() -> None:
    spec = EngineSpec(
        inputs=(tensor("x", "float16", "n"), tensor("s", "float32")),
        outputs=(tensor("y", "float16", "n"), tensor("u", "float32")),
    )
    nodes = [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Neg", ["s"], ["u"])]
    assert closeness(graph(nodes, spec, {}), {"x": np.arange(5, dtype=np.float16), "s": np.float32(2)[()]}) > 100


@pytest.mark.parametrize("digest", ["", "ab" * 32])
def test_shapes_come_and_go(digest: str) -> None:
    made = layers(digest)
    engine, reference = ov.OvEngine(made), OrtEngine(made)
    for batch, side in [(1, 4), (2, 4), (3, 4), (1, 8), (2, 8), (1, 4), (3, 5)]:
        inputs = feed(batch, side)
        assert psnr(reference.run(inputs)["y"], engine.run(inputs)["y"]) >= 100
        assert len(engine._compiled) <= ov.MOST_SHAPES


def test_outputs_are_owned_and_inputs_untouched() -> None:
    engine, inputs = ov.OvEngine(layers()), feed()
    before = {k: v.copy() for k, v in inputs.items()}
    first = engine.run(inputs)
    kept = {k: v.copy() for k, v in first.items()}
    assert all(value.flags.owndata and value.flags.writeable for value in first.values())
    engine.run(feed())
    for name, value in kept.items():
        np.testing.assert_array_equal(first[name], value)
    for name, value in before.items():
        np.testing.assert_array_equal(inputs[name], value)


def test_views_and_read_only_arrays_are_taken() -> None:
    engine, inputs = ov.OvEngine(layers()), feed()
    expected = engine.run(inputs)["y"]
    turned = np.asfortranarray(inputs["x"])
    turned.flags.writeable = False
    np.testing.assert_array_equal(engine.run({**inputs, "x": turned})["y"], expected)


def test_many_threads_at_once() -> None:
    made = layers()
    engine, reference = ov.OvEngine(made), OrtEngine(made)
    jobs = [feed(1 + i % 2, 6) for i in range(8)]
    expected = [reference.run(job)["y"] for job in jobs]
    answers: dict[int, list[float]] = {}

    def work(i: int) -> None:
        answers[i] = [psnr(expected[i], engine.run(jobs[i])["y"]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(jobs) and min(min(each) for each in answers.values()) >= 100


def test_inputs_are_checked_and_a_closed_engine_says_so() -> None:
    engine = ov.OvEngine(layers())
    with pytest.raises(EngineError, match=r"tiny: input 'x' expected float32 \[b, 48, h, w\], got float64"):
        engine.run({**feed(), "x": feed()["x"].astype(np.float64)})
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="tiny: the engine is closed"):
        engine.run(feed())
