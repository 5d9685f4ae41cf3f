"""What may be chosen when a model becomes a bundle."""

from __future__ import annotations

from dataclasses import dataclass

from handfirst.engines.errors import UserError
from handfirst.engines.graph import Precision
from handfirst.export.form import NEWEST
from handfirst.export.to_onnx import Weights
from handfirst.runtime.running import MOST_ROWS

Size = tuple[int, int]


@dataclass(frozen=True)
class ExportOptions:
    """How a bundle is made.

    Attributes:
        name: the bundle's name in its manifest.
        weights: how large weights of float32 graphs are stored; float16 halves the files, not the arithmetic.
        precision: what the graphs compute in.
        size: width and height of the canvas in pixels; None: what the model was trained for.
        batch: rows that a graph takes at once; the runtime cuts longer batches. 1 makes the batch a fixed axis.
        opset: 23 writes half precision graphs in the form for GPUs (form.py); None: the plain form, of 21 and 22.
        sizes: the smallest and the largest canvas that requests may ask for; None: only `size`, the fastest.
    """

    name: str = "demo"
    weights: Weights = "float16"
    precision: Precision = "float32"
    size: Size | None = None
    batch: int = MOST_ROWS
    sizes: tuple[Size, Size] | None = None
    opset: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= MOST_ROWS:
            raise UserError(f"expected 1 to {MOST_ROWS} rows at once, as the runtime gives no more, got {self.batch}")

        if self.opset not in (None, NEWEST):
            raise UserError(f"expected opset {NEWEST}, or none for the one that each graph needs, got {self.opset}")
        if self.opset == NEWEST and self.precision == "float32":
            raise UserError(
                f"opset {NEWEST} is for graphs in half precision, as its attention has no fast kernel in float32; "
                "expected it with --precision float16 or bfloat16, got float32"
            )

    @property
    def rounded(self) -> bool:
        """Whether large weights are rounded to float16 before anything is exported or compared."""
        return self.weights == "float16" and self.precision == "float32"


DEFAULTS = ExportOptions()
