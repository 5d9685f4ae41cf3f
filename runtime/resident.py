"""Tensors that stay on the device between engines: uploaded once, handed on without a visit to the host.

Only where all engines that touch a tensor keep theirs in one place, and no batch must be cut into pieces; everywhere
else all of it is NumPy, with the same results. Knows nothing about what the tensors are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from handfirst.engines.engine import Array, DeviceEngine, Engine, Tensor
from handfirst.runtime.rows import most_rows, run_rows


def upload(array: Array, *takers: Engine) -> Tensor:
    """A handle that all takers take, or the array itself where there is none. The first axis is the batch."""
    device = _common(takers)
    return array if device is None or len(array) > min(map(_most, takers)) else device.upload(array)


def run_kept(
    engine: Engine, inputs: Mapping[str, Tensor], keep: Collection[str] = (), *takers: Engine
) -> dict[str, Tensor]:
    """`run_rows`, but the outputs in `keep` stay on the device where all takers take them there.

    Args:
        inputs: arrays, or handles that `upload` or `run_kept` made for this engine.
    """
    device = _common((engine, *takers))
    rows = next(iter(inputs.values())).shape[0]
    if isinstance(engine, DeviceEngine) and rows <= _most(engine):
        together = device is not None and rows <= min(map(_most, takers), default=rows)
        return engine.run_resident(inputs, keep if together else ())
    return {**run_rows(engine, {name: host(value) for name, value in inputs.items()})}


def host(tensor: Tensor) -> Array:
    """The tensor as an array."""
    return tensor if isinstance(tensor, np.ndarray) else tensor.numpy()


def _most(engine: Engine) -> int:
    return most_rows(engine.spec)


def _common(engines: Collection[Engine]) -> DeviceEngine | None:
    """One of them, if all keep tensors in the same place."""
    devices = [engine for engine in engines if isinstance(engine, DeviceEngine)]
    together = len(devices) == len(engines) and len({device.place for device in devices}) == 1
    return devices[0] if together else None
