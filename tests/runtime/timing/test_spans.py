"""Spans: who hears them, how they nest, and that nothing is recorded where nobody listens."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.arithmetic_model import model, person, request
from support.fake_engine import FakeEngine

from handfirst.engines.engine import DeviceEngine
from handfirst.engines.errors import EngineError
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.runtime.timing.spans import Clock, Recording, listened, recorded, recording, span

SPEC = EngineSpec(
    inputs=(
        TensorSpec(name="x", dtype="float32", shape=("batch", 3)),
        TensorSpec(name="t", dtype="int64", shape=("batch",)),
    ),
    outputs=(TensorSpec(name="y", dtype="float16", shape=("batch", 2)),),
)
INPUTS = {"t": np.zeros(5, np.int64), "x": np.zeros((5, 3), np.float32)}


def engine():
    return FakeEngine(SPEC, "net", lambda given: {"y": np.ones((len(given["x"]), 2), np.float16)})


def test_nobody_listens_by_default():
    assert not listened()
    with recording(Recording()) as heard:
        assert listened()
    with span("late"):
        recorded(engine()).run(INPUTS)
    assert heard.spans == ()
    assert not listened()


def test_an_engine_call_is_a_span_with_its_bytes_and_shapes():
    wrapped = recorded(engine())
    with recording(Recording()) as heard:
        outputs = wrapped.run(INPUTS)
    (call,) = heard.spans
    assert (call.name, call.kind, call.thread) == ("net", "engine", threading.get_ident())
    assert call.bytes == 5 * 3 * 4 + 5 * 8 + 5 * 2 * 2
    assert call.shapes == ((5, 3), (5,))  # in the order of the spec, not of the call
    assert call.duration >= 0
    assert outputs["y"].tolist() == [[1, 1]] * 5
    assert (wrapped.name, wrapped.spec) == ("net", SPEC)


class Handle:
    shape, dtype, place = (5, 3), "bfloat16", "somewhere"


class Resident(FakeEngine):
    place = "somewhere"

    def upload(self, array):
        return Handle()

    def run_resident(self, inputs, keep, wanted=None):
        assert keep == wanted == ("y",)
        return {"y": Handle()}


def test_a_device_engine_stays_one_and_its_handles_are_counted():
    wrapped = recorded(Resident(SPEC, "net", dict))
    assert isinstance(wrapped, DeviceEngine)
    assert not isinstance(recorded(engine()), DeviceEngine)
    assert wrapped.place == "somewhere"
    inputs = {"x": wrapped.upload(INPUTS["x"]), "t": INPUTS["t"]}
    wrapped.run_resident(inputs, ("y",), ("y",))
    with recording(Recording()) as heard:
        wrapped.run_resident(inputs, ("y",), ("y",))
    assert [each.bytes for each in heard.spans] == [15 * 2 + 5 * 8 + 15 * 2]


def test_closing_reaches_the_engine():
    wrapped = recorded(engine())
    wrapped.close()
    with pytest.raises(EngineError, match="closed"):
        wrapped.run(INPUTS)


def test_all_that_listen_hear_and_inner_ones_stop_first():
    outer, inner = Recording(), Recording()
    with recording(outer):
        with recording(inner), span("a"):
            pass
        with span("b"):
            pass
    assert [each.name for each in outer.spans] == ["a", "b"]
    assert [each.name for each in inner.spans] == ["a"]


def test_a_block_that_fails_is_recorded():
    with recording(Recording()) as heard, pytest.raises(KeyError), span("bad"):
        raise KeyError
    assert [(each.name, each.kind) for each in heard.spans] == [("bad", "host")]


def test_threads_do_not_hear_each_other():
    barrier = threading.Barrier(4, timeout=10)

    def work(name):
        with recording(Recording()) as heard:
            barrier.wait()
            for _ in range(50):
                with span(name):
                    pass
        return {(each.name, each.thread) for each in heard.spans}, len(heard.spans)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, "abcd"))
    assert [count for _, count in found] == [50] * 4
    assert [{name for name, _ in heard} for heard, _ in found] == [{"a"}, {"b"}, {"c"}, {"d"}]


def test_one_recorder_may_listen_to_many_threads():
    shared = Recording()

    def work(_):
        with recording(shared), span("x"):
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(200)))
    assert len(shared.spans) == 200


def test_the_clock_tells_its_stages():
    clock = Clock("a", "b")
    with recording(Recording()) as heard:
        with clock("a"):
            pass
        assert list(clock.steps("b", iter("xy"))) == ["x", "y"]
    assert [(each.name, each.kind) for each in heard.spans] == [("a", "stage"), *[("b", "stage")] * 3]
    spent = {name: sum(s.duration for s in heard.spans if s.name == name) / 1e9 for name in "ab"}
    assert clock.seconds == pytest.approx({**spent, "total": sum(spent.values())}, abs=1e-12)


def test_a_picture_is_recorded_whole_and_is_the_same():
    system, tapes = model()
    plain = system.render(request(person(), steps=3))
    with recording(Recording()) as heard:
        again = system.render(request(person(), steps=3))
    np.testing.assert_array_equal(again.image, plain.image)
    calls = [each for each in heard.spans if each.kind == "engine"]
    counted = {role: len([c for c in calls if c.name == role]) for role in tapes}
    assert counted == {  # the prompts' contexts are cached
        "text_encoder": 0, "hand_unet": 3, "mask_head": 1, "hint_encoder": 1, "controlnet": 3, "body_unet": 3,
        "vae_encoder": 1, "vae_decoder": 2,
    }  # fmt: skip
    named = [each.name for each in heard.spans if each.kind == "host"]
    assert sorted(named) == ["hint_drawing", "mask_table", *["step"] * 6]
    stages = [each for each in heard.spans if each.kind == "stage"]
    for inner in heard.spans:
        if inner.kind != "stage":
            assert sum(outer.start <= inner.start <= inner.end <= outer.end for outer in stages) == 1
