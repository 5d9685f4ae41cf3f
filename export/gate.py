"""The gate: a graph that does not compute what torch computes is not written.

Torch answers first (`run_trials`), so that its weights can be freed before an engine takes their place. Knows nothing
about files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.choice import TOLERANCE
from handfirst.engines.errors import UserError
from handfirst.engines.graph import Graph, Precision
from handfirst.engines.opening import open_engine
from handfirst.engines.ort import import_onnxruntime
from handfirst.engines.ov import import_openvino
from handfirst.engines.verify import psnr
from handfirst.export.examples import example, reference
from handfirst.export.part import CELLS, PIXELS, Part

EQUAL = 200.0
"""What equal tensors count as; the manifest holds finite numbers only."""

TRIALS = ((1, (8, 8)), (2, (4, 12)), (6, (8, 8)))
"""Batch, and rows and columns of latent cells where those are free: one picture, guidance, three pictures guided.
Where free sizes have limits, the usual size takes the place of 8 x 8, and the lowest one, made broader, of 4 x 12."""

HEAVY = 50_000_000
"""Parameters from which the second trial alone is run, beside the golden tensors, which are one row: seven more of a
full-size UNet take half a minute of a CPU."""

ENGINE: dict[Precision, str] = {"float32": "cpu", "float16": "cpu", "bfloat16": "openvino"}
"""What runs a graph here: onnxruntime's CPU provider knows no bfloat16."""


def check_engine(precision: Precision) -> None:
    """The libraries that graphs of this precision are judged with are here: asked before minutes go into exporting.

    Raises:
        EngineError: one is not installed; names the extra.
    """
    import_onnxruntime()  # of a bfloat16 bundle some graphs are float32 (form.py)
    if ENGINE[precision] == "openvino":
        import_openvino()


class DeviationError(UserError):
    """A graph does not compute what torch computes."""


@dataclass(frozen=True, eq=False)
class Trial:
    """Inputs by name, and what torch makes of them in float32."""

    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]


def run_trials(part: Part) -> list[Trial]:
    """What torch answers.

    Raises:
        UserError: torch's own outputs do not fit the spec.
    """
    heavy = sum(parameter.numel() for parameter in part.module.parameters()) > HEAVY
    trials = []
    for seed, (batch, cells) in enumerate(TRIALS, start=1):
        if heavy and seed != 2:
            continue
        inputs = example(part, min(batch, part.spec.most_rows or batch), seed, _cells(part, cells))
        trials.append(Trial(inputs, reference(part, inputs)))
    return trials


def golden_trial(role: str, golden: Mapping[str, NDArray[Any]]) -> Trial:
    """A part's golden tensors (golden.py), which its graph has to meet like any others."""

    def named(kind: str) -> dict[str, NDArray[Any]]:
        prefix = f"{role}.{kind}."
        return {name.removeprefix(prefix): value for name, value in golden.items() if name.startswith(prefix)}

    return Trial(named("in"), named("out"))


def _cells(part: Part, cells: tuple[int, int]) -> tuple[int, int]:
    """Of the part's own limits where it has any."""
    limits = [
        part.spec.limits.get(cell) or part.spec.limits.get(pixel) for cell, pixel in zip(CELLS, PIXELS, strict=True)
    ]
    rows, cols = limits
    if rows is None or cols is None:
        return cells
    scale = 1 if CELLS[0] in part.spec.limits else part.cell
    if cells[0] == cells[1]:
        return rows.usual // scale, cols.usual // scale
    return rows.least // scale, min(cols.usual + cols.multiple, cols.most) // scale


def measure(graph: Graph, trials: list[Trial]) -> float:
    """The worst PSNR in dB of any output against torch over all trials; at most EQUAL.

    Raises:
        UserError: the graph cannot be opened or gives another shape.
    """
    engine = open_engine(graph, ENGINE[graph.precision])
    worst = EQUAL
    for trial in trials:
        got = engine.run(trial.inputs)
        for name, value in trial.outputs.items():
            if got[name].shape != value.shape:
                raise UserError(
                    f"{graph.role}: output '{name}' expected {value.shape}, the graph gives {got[name].shape}"
                )
            worst = min(worst, psnr(value, np.asarray(got[name])))
    engine.close()
    return worst


def check(graph: Graph, trials: list[Trial], tolerance: float | None = None) -> float:
    """Measures the graph and returns its PSNR.

    Args:
        tolerance: the worst PSNR in dB that passes; None: what its precision can be held to.

    Raises:
        DeviationError: it is below `tolerance`; names the graph and the figure.
    """
    needed = TOLERANCE[graph.precision] if tolerance is None else tolerance
    figure = measure(graph, trials)
    if not figure >= needed:
        raise DeviationError(
            f"{graph.role}: the exported graph is {figure:.1f} dB from torch, at least {needed:.0f} are needed in "
            f"{graph.precision}; nothing was written, try another precision or other versions of torch and onnxscript"
        )
    return figure
