"""The step kernel, compiled for the processor, against the NumPy loop: whole loops, equal to the last bit."""

from __future__ import annotations

import re
import subprocess
from importlib import resources
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.step_on_host import compiled_launch, compiled_step, loop_of

from handfirst.engines.cuda.layout import ADDRESSES, LOOP, ROW, SIZES
from handfirst.runtime.diffusion.loop_shape import FORECAST, pack_rows
from handfirst.runtime.diffusion.sampler import Known, Prediction, denoise
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.solvers import Solver, step_table
from handfirst.runtime.diffusion.speed import Plan, thinned
from handfirst.runtime.diffusion.table import Schedule, StepTable

KINDS = ("epsilon", "sample", "v_prediction")
weights = st.sampled_from([0.0, 1.0]) | st.floats(-2, 2, width=32)


plans = st.builds(
    Plan,
    every=st.integers(1, 3),
    points=st.integers(1, FORECAST),
    first=st.sampled_from([0.0, 0.5]),
    last=st.just(0.0),
    guided=st.sampled_from([(0.0, 1.0), (0.0, 0.5), (0.3, 0.7)]),
)


@st.composite
def tables(draw: st.DrawFn) -> StepTable:
    """Any rows: a solver's, or weights that no solver would choose."""
    steps = draw(st.integers(1, 5))
    schedule = Schedule(ScheduleSettings(prediction=draw(st.sampled_from(KINDS))))
    guidance = draw(st.sampled_from([1.0, 1.5, 7.5]))
    solver: Solver = draw(st.sampled_from(get_args(Solver)))
    table = step_table(
        solver, schedule, steps, guidance, draw(st.sampled_from([0.0, 0.3, 1.0])), draw(st.integers(0, 2))
    )
    if draw(st.booleans()):
        return thinned(table, draw(plans)) if draw(st.booleans()) else table
    columns = vars(table) | {
        name: draw(hnp.arrays(np.float64, steps, elements=weights)) for name in ("clean", "direction", "guidance")
    }
    earlier = draw(hnp.arrays(np.float64, (steps, 2), elements=weights))
    earlier[:1] = 0
    earlier[:2, 1] = 0
    sigma = np.abs(draw(hnp.arrays(np.float64, steps, elements=weights)))
    return StepTable(**columns | {"earlier": earlier, "sigma": sigma, "blend": draw(hnp.arrays(bool, steps))})


@settings(deadline=None)
@given(tables(), st.integers(1, 3), st.sampled_from([(1, 1, 1), (4, 3, 5), (12, 8, 8)]), st.booleans(), st.integers(0))
def test_a_whole_loop_equals_numpy(
    table: StepTable, batch: int, shape: tuple[int, int, int], known: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed % 2**32)
    steps, guided = len(table), bool(rng.integers(2)) or table.guided
    draws = rng.standard_normal((batch, 1 + steps, *shape), np.float32)
    answers = [rng.standard_normal((max(1, n) * batch, *shape), np.float32) for n in table.answers(1 + guided)]
    x_c, eps_0 = rng.standard_normal((2, batch, *shape), np.float32)
    kept = rng.random((batch, steps, *shape[1:])) < 0.5

    def predict(x_t: np.ndarray, timestep: int) -> Prediction:
        answer = answers[list(table.timestep).index(timestep)]
        return Prediction(answer[-batch:], answer[:batch] if len(answer) > batch else None)

    expected = list(
        denoise(predict, draws[:, 0], table, Known(x_c, eps_0, kept) if known else None, lambda index: draws[:, index])
    )

    extra = int(rng.integers(3))  # channels of the network's input that are no latents
    sample = np.full(((1 + guided) * batch, shape[0] + extra, *shape[1:]), np.nan, np.float32)
    arrays = {
        "rows": pack_rows(table, 1 + guided),
        "state": np.zeros(2, np.uint32),
        "x_t": np.ascontiguousarray(draws[:, 0]),
        "prediction": np.full(((1 + guided) * batch, *shape), np.nan, np.float32),
        "sample": sample,
        "timestep": np.full((1 + guided) * batch, table.timestep[0]),
        "x_0": np.full((batch, *shape), np.nan, np.float32),
        "x_0_before": np.full((batch, *shape), np.nan, np.float32),
        "noise": draws,
    }
    if table.forecast.any():
        arrays |= {name: np.full((batch, *shape), np.nan, np.float32) for name in ("told", "told_before")}
    if known:
        arrays |= {"x_c": np.ascontiguousarray(x_c), "eps_0": np.ascontiguousarray(eps_0), "kept": kept}
    cells = shape[1] * shape[2]
    loop = loop_of(
        arrays, steps=steps, batch=batch, values=shape[0] * cells, cells=cells, copies=1 + guided,
        sample_stride=(shape[0] + extra) * cells,
    )  # fmt: skip
    for step in expected:
        assert (arrays["timestep"] == step.timestep).all()
        asked = table.answers(1 + guided)[step.index - 1]
        arrays["prediction"][:] = np.nan  # what no network was asked for is not there
        arrays["prediction"][: asked * batch] = answers[step.index - 1][: asked * batch]
        compiled_step()(loop)
        np.testing.assert_array_equal(arrays["x_t"], step.x_t)
        np.testing.assert_array_equal(arrays["x_0"], step.x_0)
        for copy in np.split(sample, 1 + guided):
            np.testing.assert_array_equal(copy[:, : shape[0]], step.x_t)
        assert np.isnan(sample[:, shape[0] :]).all()
        assert arrays["state"].tolist() == [step.index, 0]
    before = arrays["x_t"].copy()
    compiled_step()(loop)  # one too many
    np.testing.assert_array_equal(arrays["x_t"], before)


@pytest.mark.parametrize(("blocks", "threads"), [(1, 1), (1, 7), (3, 4), (2, 64)])
def test_a_launch_takes_every_value_once_and_moves_the_counter_once(blocks: int, threads: int) -> None:
    """The code that only nvcc sees, over grids that are too large and too small for the values."""
    rng, (batch, channels, h, w), steps = np.random.default_rng(5), (2, 3, 4, 5), 3
    table = step_table("ddim", Schedule(ScheduleSettings()), steps, 7.5, eta=1.0, unblended=1)
    drawn = rng.standard_normal((5, batch, channels, h, w), np.float32)
    noise = rng.standard_normal((batch, 1 + steps, channels, h, w), np.float32)
    known = {"x_c": drawn[0], "eps_0": drawn[1], "kept": rng.random((batch, steps, h, w)) < 0.5}
    there, here = (
        {
            "rows": pack_rows(table, 2),
            "state": np.zeros(2, np.uint32),
            "x_t": drawn[2].copy(),
            "prediction": drawn[3:].copy(),
            "sample": np.zeros((2 * batch, channels, h, w), np.float32),
            "timestep": np.zeros(2 * batch, np.int64),
            "x_0": np.zeros((batch, channels, h, w), np.float32),
            "noise": noise,
            **known,
        }
        for _ in range(2)
    )
    sizes = {"values": channels * h * w, "cells": h * w, "copies": 2, "sample_stride": channels * h * w}
    loops = [loop_of(arrays, steps=steps, batch=batch, **sizes) for arrays in (there, here)]
    for step in (1, 2, 3, 3):  # one too many
        compiled_step()(loops[0])
        compiled_launch()(loops[1], blocks, batch, threads)
        for name, array in there.items():
            np.testing.assert_array_equal(here[name], array, err_msg=name)
        assert here["state"].tolist() == [step, 0]


def test_the_structs_are_those_of_the_source() -> None:
    """Names in their order, and the sizes that a compiler gives them."""
    source = (resources.files("handfirst.engines.cuda") / "step.cu").read_text()

    def fields(struct: str) -> list[str]:
        body = re.search(rf"struct {struct} {{(.*?)}};", source, re.DOTALL)
        assert body
        lines = [line.split("//")[0] for line in body[1].splitlines()]
        return re.findall(r"(\w+)\s*[,;]", " ".join(lines))

    assert fields("Row") == list(ROW.names or ())
    assert fields("Loop") == [*ADDRESSES, *SIZES] == list(LOOP.names or ())
    assert (ROW.itemsize, LOOP.itemsize) == (72, 8 * 20)


def test_nothing_contracts_a_product_and_a_sum() -> None:
    """A kernel that was built with fused multiplications would differ in the last bit: its PTX has none."""
    ptx = (resources.files("handfirst.engines.cuda") / "built" / "step.ptx").read_text()
    assert "mul.rn.f32" in ptx or "mul.f32" in ptx
    assert not re.search(r"\bfma\.\w+\.f32", ptx)


def test_the_built_kernels_are_those_of_the_source() -> None:
    """Where the compiler is the one that they were built with, building again gives the same bytes."""
    built = subprocess.run(["bash", "scripts/cubins", "--check"], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
