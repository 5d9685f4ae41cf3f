"""What a loop on a device is, as plain data: the sizes that fix its memory, and the step table for the kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.cuda.layout import PREDICTIONS, ROW
from handfirst.runtime.diffusion.sampler import Guided, Latents
from handfirst.runtime.diffusion.table import StepTable


@dataclass(frozen=True)
class LoopShape:
    """All that fixes the memory of a loop: loops of one shape may use it after each other."""

    batch: int
    """B."""
    latent: tuple[int, int, int]
    """C, h, w."""
    steps: int
    copies: int
    """2 with guidance, else 1."""
    channels: int
    """Of the network's input: C, and those of a condition behind them."""
    known: bool
    """Whether a canvas is blended in."""
    noisy: bool
    """Whether steps draw fresh noise."""
    history: bool
    """Whether steps read earlier estimates."""
    told: int
    """Estimates that forecasts read at most."""
    alone: bool
    """Whether some steps ask for the answer with the prompt alone, in a batch of half the rows."""

    @property
    def rows(self) -> int:
        """Of the network's batch."""
        return self.copies * self.batch


def loop_shape(table: StepTable, x_T: Latents, guided: Guided, channels: int, known: bool) -> LoopShape:
    """Of a loop over `x_T` [B, C, h, w]; see LoopShape."""
    batch, *latent = x_T.shape
    return LoopShape(
        batch=batch,
        latent=(latent[0], latent[1], latent[2]),
        steps=len(table),
        copies=1 if guided.unconditional is None else 2,
        channels=channels,
        known=known,
        noisy=bool(table.noisy),
        history=bool(table.earlier.any()),
        told=1 + int(np.flatnonzero(table.forecast.any(0)).max(initial=-1)),
        alone=bool(table.alone.any()),
    )


FORECAST = 2
"""Estimates that the kernel forecasts from at most."""


def pack_rows(table: StepTable, copies: int) -> NDArray[np.void]:
    """The table as the kernel reads it: ROW [S], every weight rounded to float32 as sampler.py rounds it.

    Args:
        copies: as of LoopShape.

    Raises:
        ValueError: a row that the kernel does not know: it blends before the step, or forecasts from more estimates.
    """
    if table.before.any():
        raise ValueError("the step kernel does not blend before a step; run this table with sampler.denoise")
    if table.forecast[:, FORECAST:].any():
        raise ValueError(f"the step kernel forecasts from {FORECAST} estimates; run this table with sampler.denoise")
    rows, answers = np.zeros(len(table), ROW), table.answers(copies)
    for at, row in enumerate(map(table.row, range(1, len(table) + 1))):
        earlier, before = row.earlier
        told, told_before, *_ = *row.forecast, 0.0, 0.0
        rows[at] = (
            row.guidance, row.signal, row.noise, row.clean, row.direction, earlier, before,
            row.sigma, row.known_signal, row.known_noise, told, told_before, answers[at],
            PREDICTIONS[row.prediction], row.blend, row.timestep,
        )  # fmt: skip
    return rows
