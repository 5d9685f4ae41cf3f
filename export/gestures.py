"""A gesture's numbers as a bundle holds them: one .npy file each, in the precision of the weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.export.to_onnx import Weights
from handfirst.runtime.diffusion.gesture import asset, write_gesture


def gesture_asset(name: str, values: NDArray[np.float32], weights: Weights) -> tuple[str, bytes]:
    """The file of a gesture and its bytes.

    Raises:
        UserError: the precision cannot hold the numbers.
    """
    half = weights == "float16"
    largest = float(np.abs(values).max())
    if not largest <= float(np.finfo(np.float16 if half else np.float32).max):
        raise UserError(
            f"gesture {name}: expected numbers that {weights} can hold, got {largest:.3g}; "
            "export it with --weights float32, or train it again with a lower lr"
        )
    return f"{asset(name)}.npy", write_gesture(values, half)
