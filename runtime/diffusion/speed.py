"""Named plans that ask the networks for less: opt-in approximations, as columns of the step table.

A plan is fixed before the run and looks at no tensor, so pictures stay reproducible. Between two steps that ask the
network, its clean estimate goes on along the polynomial through its last estimates (a Taylor forecast by divided
differences, in the logarithm of signal over noise); outside an interval of the steps guidance is left out, and with it
half of the rows. Solver, steps and blending stay what they were. What it costs in quality: docs/speed.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.diffusion.table import StepTable

Speed = Literal["exact", "fast", "fastest"]
"""exact: every step asks for all; fast, fastest: see PLANS, and docs/speed.md for what they cost."""


@dataclass(frozen=True)
class Plan:
    """Which steps ask for what; shares are of the steps of a run."""

    every: int
    """One step of so many asks the network, the others forecast."""
    points: int
    """Estimates that a forecast is made of, at least 1; fewer where there are no more yet."""
    first: float
    """Share of the steps that all ask, at the beginning."""
    last: float
    """The same at the end; the last step always asks."""
    guided: tuple[float, float]
    """From which share of the steps on guidance is asked for, and up to which."""


PLANS: dict[Speed, Plan] = {
    "fast": Plan(every=3, points=2, first=0.1, last=0.1, guided=(0.0, 0.7)),
    "fastest": Plan(every=5, points=2, first=0.06, last=0.04, guided=(0.0, 0.5)),
}


def planned(table: StepTable, speed: Speed) -> StepTable:
    """The table with a speed's plan; "exact" leaves it as it is."""
    return table if speed == "exact" else thinned(table, PLANS[speed])


def thinned(table: StepTable, plan: Plan) -> StepTable:
    """The table of a run that asks less. In a run of few steps more of them ask."""
    S = len(table)
    share = np.arange(S) / S
    start, end = plan.guided
    alone = (share < start) | (share >= end) if table.guided else np.zeros(S, np.bool_)
    asks = (share < plan.first) | (share >= 1 - plan.last)
    asks[0] = asks[-1] = True
    asks[:: plan.every] = True
    forecast = np.zeros((S, plan.points))
    place = np.log(np.maximum(table.alpha_bar, 1e-12) / np.maximum(1 - table.alpha_bar, 1e-12)) / 2
    for i in np.flatnonzero(~asks):
        told = np.flatnonzero(asks[:i])[::-1][: plan.points]
        forecast[i, : len(told)] = lagrange(place[told], float(place[i]))
    return replace(table, guidance=np.where(alone, 1.0, table.guidance), alone=alone, forecast=forecast)


def lagrange(points: NDArray[np.float64], at: float) -> NDArray[np.float64]:
    """Weights of values at distinct points, [K], whose sum is the value at `at` of the polynomial through them."""
    weights = np.ones(len(points))
    for i, own in enumerate(points):
        others = np.delete(points, i)
        weights[i] = np.prod((at - others) / (own - others))
    return weights
