"""What the step kernel reads, as NumPy lays it out: the structs of step.cu, field by field.

Knows nothing of devices: the same bytes serve the kernel, and the same source compiled for the processor.
"""

from __future__ import annotations

import numpy as np

PREDICTIONS = {"epsilon": 0, "sample": 1, "v_prediction": 2}
"""enum Prediction."""

ROW = np.dtype(
    [
        *((name, np.float32) for name in ("guidance", "signal", "noise", "clean", "direction", "earlier", "before")),
        *((name, np.float32) for name in ("sigma", "known_signal", "known_noise", "forecast", "forecast_before")),
        *((name, np.int32) for name in ("answers", "prediction", "blend")),
        ("timestep", np.int64),
    ],
    align=True,
)
"""struct Row: one step of the table, rounded to float32."""

ADDRESSES = (
    "rows",
    "state",
    "x_t",
    "prediction",
    "sample",
    "timestep",
    "x_0",
    "x_0_before",
    "told",
    "told_before",
    "noise",
    "x_c",
    "eps_0",
    "kept",
)
SIZES = ("steps", "batch", "values", "cells", "copies", "sample_stride")

LOOP = np.dtype([*((name, np.uint64) for name in ADDRESSES), *((name, np.int64) for name in SIZES)], align=True)
"""struct Loop: addresses (0: there is no such thing) and sizes of a whole loop."""
