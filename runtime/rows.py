"""Running an engine over a batch in pieces, so that memory does not grow with the number of hands or pictures, and no
engine gets more rows than its spec allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.engine import Engine
from handfirst.engines.spec import EngineSpec

MOST_ROWS = 16
"""Twenty people with two hands each, with and without the prompt, would be eighty rows at once."""


def most_rows(spec: EngineSpec, most: int = MOST_ROWS) -> int:
    """Rows that an engine of this spec gets at once: `most`, or fewer where it takes fewer."""
    return most if spec.most_rows is None else min(most, spec.most_rows)


def run_rows(engine: Engine, inputs: Mapping[str, NDArray[Any]], most: int = MOST_ROWS) -> dict[str, NDArray[Any]]:
    """`engine.run`, at most `most` rows at a time; the first axis of every input and output is the batch."""
    count, most = len(next(iter(inputs.values()))), most_rows(engine.spec, most)
    if count <= most:
        return engine.run(inputs)
    pieces = [engine.run({name: rows[i : i + most] for name, rows in inputs.items()}) for i in range(0, count, most)]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
