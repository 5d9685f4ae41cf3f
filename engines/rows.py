"""An engine that runs one row of its batch at a time.

On a CPU a heavy graph computes rows no faster together than one after the other (four of a full-size UNet at 64 x 64
cells on two cores: 13.6 s in onnxruntime, 11.1 s row by row), and activations take their memory once. One row is also
one shape, so that an engine that compiles for shapes compiles once. Knows nothing about what the rows are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from handfirst.engines.engine import Array, Engine, check_inputs
from handfirst.engines.spec import EngineSpec


class RowByRow:
    """Wraps an engine whose inputs and outputs all begin with the same free axis (see `splits`)."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.spec = engine.spec
        self._engine = engine

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name, as the engine would give them for the whole batch."""
        check_inputs(self.spec, inputs, self.name)
        count = len(next(iter(inputs.values())))
        rows = [self._engine.run({name: value[i : i + 1] for name, value in inputs.items()}) for i in range(count)]
        return rows[0] if count == 1 else {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def close(self) -> None:
        """Closes the engine."""
        self._engine.close()


def splits(spec: EngineSpec) -> bool:
    """Whether rows of a batch are independent as far as the spec can tell: one free axis comes first everywhere."""
    firsts = {tensor.shape[0] if tensor.shape else None for tensor in (*spec.inputs, *spec.outputs)}
    return len(firsts) == 1 and isinstance(next(iter(firsts)), str)
