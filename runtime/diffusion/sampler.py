"""Runs a StepTable over a network, one step at a time: a generator, so that progress, preview and cancel come for free.

A step is a pure function of arrays and one row of the table; guidance comes before it, blending (paper, eq. 11) after,
or, where the table says so, before all of it. The arithmetic is float32, and its order is part of the promise that
pictures stay the same to the last bit: x_0 and eps first, then their weighted sum term by term. Folding a row into two
weights, of x_t and of the prediction, would save an operation and change the last bit. Knows nothing about what the
network is, where its conditions come from, or pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.engine import Tensor
from handfirst.runtime.diffusion.table import Row, StepTable
from handfirst.runtime.timing.spans import span

Latents = NDArray[np.float32]

STEP = "step"
"""What a recorder calls guidance, the step and blending, everything between two predictions."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says about x_t: with the prompt, without it (None: no guidance), and named extras."""

    conditional: Latents
    unconditional: Latents | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Step:
    """One finished step: index 1..total, the time it started from, the new x_t, the clean estimate, the extras.

    A loop on a device (device.py) leaves tensors there, which hold until the next step is asked for.
    """

    index: int
    total: int
    timestep: int
    x_t: Tensor
    x_0: Tensor
    extras: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Known:
    """What stays known while the rest is painted (paper, section III-C).

    Attributes:
        x_c: latents of the canvas [B, C, h, w].
        eps_0: the fixed noise that they are noised with after a step, [B, C, h, w].
        kept: bool [B, S, h, w]: row s - 1 of an image says which cells are kept before or after step s.
        fresh: step index -> the noise that they are noised with before a step, like x_c; where the table asks for it.
    """

    x_c: Latents
    eps_0: Latents
    kept: NDArray[np.bool_]
    fresh: Callable[[int], Latents] | None = None


Predict = Callable[[Latents, int], Prediction]
"""(x_t [B, C, h, w], timestep) -> what the network says."""


def denoise(
    predict: Predict,
    x_T: Latents,
    table: StepTable,
    known: Known | None = None,
    noise: Callable[[int], Latents] | None = None,
) -> Iterator[Step]:
    """Yields every step of the table; nothing of one image depends on the others in the batch.

    Args:
        predict: asked in every step that the table does not forecast.
        x_T: the starting noise [B, C, h, w], float32.
        known: region to keep, or None.
        noise: step index -> standard normal like x_T; needed where the table's sigma is not 0.
    """
    x_t = x_T
    earlier: tuple[Latents, ...] = ()
    told: tuple[Latents, ...] = ()  # estimates of the steps that asked the network
    for row in map(table.row, range(1, len(table) + 1)):
        if known is not None and row.before:
            with span(STEP):
                x_t = blend_before(x_t, known, row)
        prediction = forecast(row, told) if row.forecast else predict(x_t, row.timestep)
        with span(STEP):
            fresh = noise(row.index) if noise is not None and row.sigma > 0 else None
            x_t, x_0 = step(x_t, guide(prediction, row.guidance), row, earlier, fresh)
            if known is not None and row.blend:
                x_t = blend(x_t, known, row)
        earlier = (x_0, *earlier[:1])
        told = told if row.forecast else (x_0, *told[: table.forecast.shape[1] - 1])
        yield Step(row.index, len(table), row.timestep, x_t, x_0, prediction.extras)


def predicting(ask: Callable[[Guided], Predict], guided: Guided, table: StepTable) -> Predict:
    """Asks for all answers, but in the table's steps without guidance for that with the prompt alone.

    Args:
        ask: makes a Predict of the rows to ask for; called once or twice.
    """
    whole, times = ask(guided), frozenset(table.timestep[table.alone].tolist())
    if not times:
        return whole
    alone = ask(guided.alone)
    return lambda x_t, timestep: (alone if timestep in times else whole)(x_t, timestep)


def forecast(row: Row, told: Sequence[Latents]) -> Prediction:
    """The clean estimate that the row expects after those that the network gave, the latest first."""
    if len(told) < len(row.forecast):
        raise ValueError(f"step {row.index} forecasts from {len(row.forecast)} estimates, got {len(told)}")
    with span(STEP):
        x_0 = np.float32(row.forecast[0]) * told[0]
        for weight, estimate in zip(row.forecast[1:], told[1:], strict=False):
            x_0 = x_0 + np.float32(weight) * estimate
    return Prediction(x_0)


def guide(prediction: Prediction, guidance: float) -> Latents:
    """Classifier-free guidance: u + g (c - u)."""
    if prediction.unconditional is None:
        return prediction.conditional
    u = prediction.unconditional
    return u + np.float32(guidance) * (prediction.conditional - u)


def step(
    x_t: Latents, prediction: Latents, row: Row, earlier: Sequence[Latents] = (), fresh: Latents | None = None
) -> tuple[Latents, Latents]:
    """(x_t', x_0), both like x_t [B, C, h, w]; see Row for the formula.

    Args:
        prediction: eps, v or x_0, as the row says.
        earlier: x_0 of the step before, and of the one before that.
        fresh: z, standard normal like x_t.

    Raises:
        ValueError: the row gives weight to an estimate or to noise that is not there.
    """
    x_0, eps = to_x0_eps(prediction, x_t, row)
    x: Latents = np.float32(row.clean) * x_0 + np.float32(row.direction) * eps
    for i, weight in enumerate(row.earlier):
        if weight:
            if i >= len(earlier):
                raise ValueError(f"step {row.index} needs {i + 1} earlier estimates, got {len(earlier)}")
            x = x + np.float32(weight) * earlier[i]
    if row.sigma > 0:
        if fresh is None:
            raise ValueError("a step with sigma > 0 needs noise")
        x = x + np.float32(row.sigma) * fresh
    return x, x_0


def to_x0_eps(prediction: Latents, x_t: Latents, row: Row) -> tuple[Latents, Latents]:
    """What the network said, as (x_0, eps), both like x_t: it says eps, v = signal eps - noise x_0, or x_0."""
    signal, noise = np.float32(row.signal), np.float32(row.noise)
    if row.prediction == "epsilon":
        return np.asarray((x_t - noise * prediction) / signal, np.float32), prediction
    if row.prediction == "sample":
        return prediction, np.asarray((x_t - signal * prediction) / noise, np.float32)
    return signal * x_t - noise * prediction, signal * prediction + noise * x_t


def blend(x_t: Latents, known: Known, row: Row) -> Latents:
    """m known + (1 - m) x_t, exactly, where the known region is as noisy as the rest is after this step."""
    source = np.float32(row.known_signal) * known.x_c + np.float32(row.known_noise) * known.eps_0
    return np.where(known.kept[:, row.index - 1, None], source, x_t)


def blend_before(x_t: Latents, known: Known, row: Row) -> Latents:
    """m known + (1 - m) x_t, exactly, where the known region is as noisy as the rest is before this step.

    Raises:
        ValueError: there is no fresh noise for it.
    """
    if known.fresh is None:
        raise ValueError("blending before a step needs noise")
    source = noised(known.x_c, known.fresh(row.index), row)
    return np.where(known.kept[:, row.index - 1, None], source, x_t)


def noised(x_0: Latents, eps: Latents, row: Row) -> Latents:
    """signal x_0 + noise eps: as noisy as x_t is before this step."""
    return np.float32(row.signal) * x_0 + np.float32(row.noise) * eps


@dataclass(frozen=True, eq=False)
class Guided:
    """Guidance as one batch: every row without the prompt, or whatever leads, then every row with it.

    What differs between the two, by the names of the network's inputs, float32 [B, ...] each: "context" [B, L, D], and
    whatever else a system has. Without `unconditional` (guidance 1) half of the work is saved.
    """

    conditional: Mapping[str, Latents]
    unconditional: Mapping[str, Latents] | None

    @property
    def tensors(self) -> dict[str, Latents]:
        """[B or 2 B, ...] each, the rows that `rows` makes of a batch."""
        if self.unconditional is None:
            return dict(self.conditional)
        return {name: np.concatenate([self.unconditional[name], array]) for name, array in self.conditional.items()}

    @property
    def alone(self) -> Guided:
        """The rows with the prompt, of steps that go unguided."""
        return Guided(self.conditional, None)

    @property
    def context(self) -> Latents:
        """[B or 2 B, L, D]."""
        return self.tensors["context"]

    def at(self, rows: Sequence[int]) -> Guided:
        """Guidance of some rows of the batch, in that order; a row may be asked for more than once."""
        without = None if self.unconditional is None else {n: a[list(rows)] for n, a in self.unconditional.items()}
        return Guided({name: array[list(rows)] for name, array in self.conditional.items()}, without)

    def rows(self, array: Latents) -> Latents:
        """[B, ...] -> [B or 2 B, ...]: the same rows for both answers."""
        return array if self.unconditional is None else np.concatenate([array, array])

    def inputs(self, sample: Latents, timestep: int, tensors: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """What every UNet takes, for all rows.

        Args:
            sample: [B, C, h, w].
            tensors: `self.tensors` where they lie on a device already, or more than these, for all rows.
        """
        rows = self.rows(sample)
        times = np.full(len(rows), timestep, np.int64)
        return {"sample": rows, "timestep": times, **(self.tensors if tensors is None else tensors)}

    def conditional_rows(self, answer: Latents) -> Latents:
        """[B or 2 B, ...] -> [B, ...]."""
        return answer[-self._count :]

    def prediction(self, answer: Latents, extras: Mapping[str, Tensor] | None = None) -> Prediction:
        """The two answers [B or 2 B, C, h, w] apart; `extras` are passed on as they are."""
        without = None if self.unconditional is None else answer[: self._count]
        return Prediction(self.conditional_rows(answer), without, extras or {})

    @property
    def _count(self) -> int:
        return len(next(iter(self.conditional.values())))
