"""The batch that guidance makes: without the prompt first, with it second."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.fake_engine import FakeEngine

from handfirst.engines.spec import AxisLimits, EngineSpec, TensorSpec
from handfirst.runtime.diffusion.sampler import Guided
from handfirst.runtime.running import run_rows

GIVEN, WITHOUT = np.full((2, 3, 4), 7, np.float32), np.full((2, 3, 4), -7, np.float32)
SAMPLE = np.arange(2 * 5, dtype=np.float32).reshape(2, 5, 1, 1)


def test_two_answers():
    guided = Guided({"context": GIVEN}, {"context": WITHOUT})
    inputs = guided.inputs(SAMPLE, 40)
    np.testing.assert_array_equal(inputs["context"], np.concatenate([WITHOUT, GIVEN]))
    np.testing.assert_array_equal(inputs["sample"], np.concatenate([SAMPLE, SAMPLE]))
    np.testing.assert_array_equal(inputs["timestep"], [40] * 4)
    assert inputs["timestep"].dtype == np.int64
    answer = np.arange(4, dtype=np.float32)[:, None, None, None]
    prediction = guided.prediction(answer, {"feature": guided.conditional_rows(answer)})
    np.testing.assert_array_equal(prediction.unconditional.ravel(), [0, 1])
    np.testing.assert_array_equal(prediction.conditional.ravel(), [2, 3])
    np.testing.assert_array_equal(prediction.extras["feature"].ravel(), [2, 3])


def test_one_answer():
    guided = Guided({"context": GIVEN}, None)
    inputs = guided.inputs(SAMPLE, 40)
    np.testing.assert_array_equal(inputs["context"], GIVEN)
    np.testing.assert_array_equal(inputs["sample"], SAMPLE)
    prediction = guided.prediction(SAMPLE)
    assert prediction.unconditional is None
    assert prediction.extras == {}
    np.testing.assert_array_equal(prediction.conditional, SAMPLE)


@given(count=st.integers(1, 40), most=st.integers(1, 20), allowed=st.integers(1, 20) | st.none())
def test_pieces_make_the_whole(count, most, allowed):
    tensors = [TensorSpec(name=name, dtype="float32", shape=("batch", 2)) for name in "xyz"]
    sizes = []

    def add(inputs):
        sizes.append(len(inputs["x"]))
        return {"z": inputs["x"] + inputs["y"]}

    limits = {} if allowed is None else {"batch": AxisLimits(usual=1, most=allowed)}
    spec = EngineSpec(inputs=tuple(tensors[:2]), outputs=(tensors[2],), limits=limits)
    engine = FakeEngine(spec, "adder", add)
    x, y = np.random.default_rng(0).random((2, count, 2), np.float32)
    np.testing.assert_array_equal(run_rows(engine, {"x": x, "y": y}, most)["z"], x + y)
    assert max(sizes) <= min(most, allowed or most)
    assert sum(sizes) == count
