"""The sampling loop on a device: a StepTable's rows as the step kernel reads them.

Nothing here has run on a GPU; the kernel's source, compiled for the processor, is compared with sampler.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.cuda.layout import PREDICTIONS, ROW
from handfirst.runtime.diffusion.table import StepTable


def pack_rows(table: StepTable) -> NDArray[np.void]:
    """The table as the kernel reads it: ROW [S], every weight rounded to float32 as sampler.py rounds it."""
    rows = np.zeros(len(table), ROW)
    for at, row in enumerate(map(table.row, range(1, len(table) + 1))):
        earlier, before = row.earlier
        rows[at] = (
            row.guidance, row.signal, row.noise, row.clean, row.direction, earlier, before,
            row.sigma, row.known_signal, row.known_noise, PREDICTIONS[row.prediction], row.blend, row.timestep,
        )  # fmt: skip
    return rows
