"""How close two tensors are: peak signal-to-noise ratio over the reference's own range."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def psnr(reference: NDArray[Any], value: NDArray[Any]) -> float:
    """20 log10(peak-to-peak of the reference / root mean square error), in dB.

    Infinite for equal tensors; minus infinity where the value holds NaN or infinity. A constant reference counts as
    having range 1.

    Raises:
        ValueError: if the shapes differ.
    """
    if reference.shape != value.shape:
        raise ValueError(f"expected shape {reference.shape}, got {value.shape}")
    a, b = reference.astype(np.float64), value.astype(np.float64)
    if not np.isfinite(b).all():
        return -math.inf
    error = float(np.sqrt(np.mean((a - b) ** 2))) if a.size else 0.0
    if error == 0:
        return math.inf
    return 20 * math.log10((float(np.ptp(a)) or 1.0) / error)
