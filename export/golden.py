"""Golden tensors: inputs of every part and what *torch* makes of them, to be met on any machine by `handfirst verify`.

Batch 1 and small free axes, inputs in steps of 1/16: they compress well. Knows nothing about graphs.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.export.examples import example, reference
from handfirst.export.part import Part

FILE = "golden.npz"
SEED = 20240310
STEP = 16


def golden_tensors(part: Part) -> dict[str, NDArray[Any]]:
    """`{role}.in.{tensor}` and `{role}.out.{tensor}` of one part, computed by torch in float32."""
    inputs = {name: _coarse(value) for name, value in example(part, batch=1, seed=SEED).items()}
    outputs = reference(part, inputs)
    named = {f"{part.role}.in.{name}": value for name, value in inputs.items()}
    return named | {f"{part.role}.out.{name}": value for name, value in outputs.items()}


def golden_bytes(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """The .npz file; the same tensors give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(tensors))
    return buffer.getvalue()


def _coarse(value: NDArray[Any]) -> NDArray[Any]:
    return np.round(value * STEP).astype(np.float32) / np.float32(STEP) if value.dtype == np.float32 else value
