"""Running an engine over a batch in pieces, so that memory does not grow with the number of hands or pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.engine import Engine

MOST_ROWS = 16
"""Twenty people with two hands each, with and without the prompt, would be eighty rows at once."""


def run_rows(engine: Engine, inputs: Mapping[str, NDArray[Any]], most: int = MOST_ROWS) -> dict[str, NDArray[Any]]:
    """`engine.run`, at most `most` rows at a time; the first axis of every input and output is the batch."""
    count = len(next(iter(inputs.values())))
    if count <= most:
        return engine.run(inputs)
    pieces = [engine.run({name: rows[i : i + most] for name, rows in inputs.items()}) for i in range(0, count, most)]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
