"""The gate: a graph that does not compute what torch computes is not written.

Knows nothing about files; it is given a part and the bytes of its graph.
"""

from __future__ import annotations

from handfirst.engines.errors import UserError
from handfirst.engines.graph import Graph
from handfirst.engines.ort import OrtEngine
from handfirst.engines.psnr import psnr
from handfirst.export.examples import example, reference
from handfirst.export.parts import Part

TOLERANCE = 60.0
"""Worst PSNR of a float32 graph in dB."""

EQUAL = 200.0
"""What equal tensors count as; the manifest holds finite numbers only."""

TRIALS = ((1, (8, 8)), (2, (4, 12)), (6, (8, 8)))
"""Batch, and rows and columns of latent cells where those are free: one picture, guidance, three pictures guided."""


def measure(part: Part, graph: bytes) -> float:
    """The worst PSNR in dB of any output against torch over all trials, on onnxruntime's CPU; at most EQUAL.

    Raises:
        UserError: the graph cannot be opened, or torch's own outputs do not fit the spec.
    """
    engine = OrtEngine(Graph(part.role, part.spec, graph))
    worst = EQUAL
    for seed, (batch, cells) in enumerate(TRIALS, start=1):
        inputs = example(part, batch, seed, cells)
        expected, got = reference(part, inputs), engine.run(inputs)
        for name, value in expected.items():
            if got[name].shape != value.shape:
                raise UserError(
                    f"{part.role}: output '{name}' expected {value.shape}, the graph gives {got[name].shape}"
                )
            worst = min(worst, psnr(value, got[name]))
    engine.close()
    return worst


def check(part: Part, graph: bytes, tolerance: float = TOLERANCE) -> float:
    """Measures the graph and returns its PSNR.

    Raises:
        UserError: it is below `tolerance`; names the graph and the figure.
    """
    figure = measure(part, graph)
    if not figure >= tolerance:
        raise UserError(
            f"{part.role}: the exported graph is {figure:.1f} dB from torch, at least {tolerance:.0f} are needed; "
            "nothing was written, try other versions of torch and onnxscript"
        )
    return figure
