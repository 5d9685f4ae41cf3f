"""Running engines over a batch: in pieces, and with tensors that stay on the device between two engines.

Pieces keep memory from growing with the number of hands or pictures. Tensors are uploaded once, and handed on without a
visit to the host only where all engines that touch a tensor keep theirs in one place, and no batch must be cut into
pieces; everywhere else all of it is NumPy, with the same results. Knows nothing about what the tensors are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from handfirst.engines.engine import Array, DeviceEngine, Engine, Tensor
from handfirst.engines.spec import EngineSpec

MOST_ROWS = 16
"""Twenty people with two hands each, with and without the prompt, would be eighty rows at once."""


def most_rows(spec: EngineSpec, most: int = MOST_ROWS) -> int:
    """Rows that an engine of this spec gets at once: `most`, or fewer where it takes fewer."""
    return most if spec.most_rows is None else min(most, spec.most_rows)


def run_rows(
    engine: Engine, inputs: Mapping[str, Array], most: int = MOST_ROWS, wanted: Collection[str] | None = None
) -> dict[str, Array]:
    """`engine.run`, at most `most` rows at a time; the first axis of every input and output is the batch."""
    count, most = len(next(iter(inputs.values()))), most_rows(engine.spec, most)
    if count <= most:
        return engine.run(inputs, wanted)
    cut = ({name: rows[i : i + most] for name, rows in inputs.items()} for i in range(0, count, most))
    pieces = [engine.run(piece, wanted) for piece in cut]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def blank_inputs(
    spec: EngineSpec, rows: int, sizes: tuple[int, int], given: Mapping[str, tuple[int, ...]] | None = None
) -> dict[str, Array]:
    """Zeros of the right shapes and dtypes.

    Args:
        spec: of the engine; a first axis with a name is the batch.
        rows: the batch.
        sizes: height and width of its maps, for other axes with names.
        given: shapes of tensors that other engines made: they are taken as they are, but for the batch.
    """
    made = {}
    for tensor in spec.inputs:
        known = (given or {}).get(tensor.name, (rows, 0, *sizes))
        shape = [axis if isinstance(axis, int) else rows if i == 0 else known[i] for i, axis in enumerate(tensor.shape)]
        made[tensor.name] = np.zeros(shape, np.dtype(tensor.dtype))
    return made


def upload(array: Array, *takers: Engine) -> Tensor:
    """A handle that all takers take, or the array itself where there is none. The first axis is the batch."""
    device = _common(takers)
    return array if device is None or len(array) > min(map(_most, takers)) else device.upload(array)


def run_kept(
    engine: Engine,
    inputs: Mapping[str, Tensor],
    keep: Collection[str] = (),
    *takers: Engine,
    wanted: Collection[str] | None = None,
) -> dict[str, Tensor]:
    """`run_rows`, but the outputs in `keep` stay on the device where all takers take them there.

    Args:
        inputs: arrays, or handles that `upload` or `run_kept` made for this engine.
        wanted: outputs that are needed; None: all.
    """
    device = _common((engine, *takers))
    rows = next(iter(inputs.values())).shape[0]
    if isinstance(engine, DeviceEngine) and rows <= _most(engine):
        together = device is not None and rows <= min(map(_most, takers), default=rows)
        return engine.run_resident(inputs, keep if together else (), wanted)
    return {**run_rows(engine, {name: host(value) for name, value in inputs.items()}, wanted=wanted)}


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
