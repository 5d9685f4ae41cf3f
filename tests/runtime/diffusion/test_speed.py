"""Plans that ask the networks less, against formulas: polynomials, lines, counts by hand, blending."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.runtime.diffusion.noise import randn
from handfirst.runtime.diffusion.sampler import Guided, Known, Prediction, denoise, predicting
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.solvers import step_table
from handfirst.runtime.diffusion.speed import PLANS, Plan, lagrange, planned, thinned
from handfirst.runtime.diffusion.table import Schedule, StepTable

SHAPE = (2, 4, 6, 6)
SCHEDULE = Schedule(ScheduleSettings(prediction="sample"))
CONTEXT = np.zeros((2, 1, 1), np.float32)


def table(steps: int = 20, guidance: float = 2.0, solver: Any = "ddim", **more: Any) -> StepTable:
    return step_table(solver, SCHEDULE, steps, guidance, **more)


def place(table: StepTable, i: int) -> float:
    """lambda: the logarithm of signal over noise."""
    return float(np.log(table.alpha_bar[i] / (1 - table.alpha_bar[i])) / 2)


@settings(deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4, unique_by=lambda x: round(x, 1)), st.floats(-4, 4), st.data())
def test_weights_continue_a_polynomial(points: list[float], at: float, data: st.DataObject) -> None:
    """As many points as coefficients: NumPy's own polynomial goes through all of them."""
    coefficients = data.draw(st.lists(st.floats(-2, 2), min_size=len(points), max_size=len(points)))
    weights = lagrange(np.array(points), at)
    exactly = np.polynomial.polynomial.polyval(at, coefficients)
    values = np.polynomial.polynomial.polyval(np.array(points), coefficients)
    np.testing.assert_allclose(weights @ values, exactly, atol=1e-9 * max(1, np.abs(weights).max()))


@pytest.mark.parametrize("solver", ["ddim", "dpm++", "unipc"])
def test_estimates_on_a_line_are_forecast_exactly(solver: str) -> None:
    """A clean estimate that is linear in lambda: asked in every third step, a run ends where the whole one does."""
    whole = table(30, 1.0, solver)
    slope, start = randn(1, SHAPE), randn(2, SHAPE)
    told = {int(t): start + np.float32(place(whole, i) / 5) * slope for i, t in enumerate(whole.timestep)}
    asked: list[int] = []

    def predict(x_t: np.ndarray, timestep: int) -> Prediction:
        asked.append(timestep)
        return Prediction(told[timestep])

    thin = thinned(whole, Plan(every=3, points=2, first=0.2, last=0.1, guided=(0, 1)))
    *_, exact = denoise(predict, randn(3, SHAPE), whole)
    asked.clear()
    *_, last = denoise(predict, randn(3, SHAPE), thin)
    assert asked == [whole.timestep[i] for i in (0, 1, 2, 3, 4, 5, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29)]
    np.testing.assert_allclose(np.asarray(last.x_t), np.asarray(exact.x_t), atol=2e-5)


def test_what_is_asked_is_what_the_plan_says() -> None:
    """20 steps: the first two, the last two, and every second one ask; guidance up to the 14th."""
    asked: list[tuple[int, bool]] = []
    whole = table(20)
    steps = whole.timestep.tolist()

    def ask(guided: Guided) -> Any:
        def predict(x_t: np.ndarray, timestep: int) -> Prediction:
            asked.append((steps.index(timestep), guided.unconditional is not None))
            return guided.prediction(guided.rows(x_t))

        return predict

    guided = Guided({"context": CONTEXT}, {"context": CONTEXT})
    plan = Plan(every=2, points=2, first=0.1, last=0.1, guided=(0.0, 0.7))
    list(denoise(predicting(ask, guided, thinned(whole, plan)), randn(0, SHAPE), thinned(whole, plan)))
    assert asked == [(i, i < 14) for i in (0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 19)]
    answers = thinned(whole, plan).answers(2)
    assert answers.sum() == sum(1 + both for _, both in asked) == 8 * 2 + 4


@settings(deadline=None)
@given(st.integers(1, 60), st.sampled_from(list(PLANS)), st.sampled_from(["ddim", "dpm++", "unipc"]), st.booleans())
def test_plans_keep_the_table_and_always_ask_first_and_last(steps: int, speed: Any, solver: str, guided: bool) -> None:
    whole = table(steps, 3.0 if guided else 1.0, solver)
    thin = planned(whole, speed)
    for name in ("timestep", "alpha_bar", "clean", "direction", "earlier", "sigma", "blend", "known_signal"):
        np.testing.assert_array_equal(getattr(thin, name), getattr(whole, name))
    asks = ~thin.forecast.any(1)
    assert asks[0] and asks[-1] and thin.guided == guided
    np.testing.assert_allclose(thin.forecast.sum(1)[~asks], 1)  # what does not change is forecast as it is
    assert thin.guidance[0] == whole.guidance[0] and not (thin.alone.any() and not guided)
    for index in np.flatnonzero(~asks):  # no more estimates than there are
        assert len(thin.row(int(index) + 1).forecast) <= asks[:index].sum()


def test_exact_changes_nothing() -> None:
    whole = table()
    assert planned(whole, "exact") is whole


@pytest.mark.parametrize("speed", list(PLANS))
@pytest.mark.parametrize("solver", ["ddim", "dpm++", "unipc", "ddim-trailing", "lcm"])
def test_the_canvas_is_blended_in_at_every_step(speed: Any, solver: str) -> None:
    """Forecast or not: after each step but the last two, kept cells are the canvas as noisy as the rest."""
    thin = planned(table(20, 2.0, solver, unblended=2), speed)
    x_c, eps_0 = randn(7, SHAPE), randn(8, SHAPE)
    kept = np.random.default_rng(0).random((2, 20, 6, 6)) < 0.5

    def say(x_t: np.ndarray, timestep: int) -> Prediction:
        return Prediction(np.tanh(x_t), np.tanh(x_t / 2))

    known = Known(x_c, eps_0, kept)
    for step in denoise(say, randn(9, SHAPE), thin, known, lambda i: randn(100 + i, SHAPE)):
        a = float(thin.alpha_bar_prev[step.index - 1])
        canvas = np.float32(a**0.5) * x_c + np.float32((1 - a) ** 0.5) * eps_0
        cells = np.broadcast_to(kept[:, step.index - 1, None], SHAPE)
        equal = np.isclose(np.asarray(step.x_t)[cells], canvas[cells], atol=1e-6)
        assert equal.all() if step.index <= 18 else not equal.any()


def test_a_forecast_of_nothing_is_an_error() -> None:
    thin = planned(table(20), "fast")
    last = thin.last(int(np.flatnonzero(thin.forecast.any(1)[::-1])[-1]) + 1)
    with pytest.raises(ValueError, match="forecasts from"):
        list(denoise(lambda x, t: Prediction(x), randn(0, SHAPE), last))
