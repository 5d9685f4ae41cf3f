"""What may be chosen when a model becomes a bundle."""

from __future__ import annotations

from dataclasses import dataclass

from handfirst.engines.errors import UserError
from handfirst.engines.graph import Precision
from handfirst.export.to_onnx import Weights
from handfirst.runtime.rows import MOST_ROWS
from handfirst.runtime.settings import TwoStageSettings

MULTIPLE = 64
"""Pixels: three halvings of a latent of eight pixels per cell."""


@dataclass(frozen=True)
class ExportOptions:
    """How a bundle is made.

    Attributes:
        name: the bundle's name in its manifest.
        weights: how large weights of float32 graphs are stored; float16 halves the files, not the arithmetic.
        precision: what the graphs compute in.
        size: width and height of the canvas in pixels, multiples of 64; None: what the model was trained for.
        batch: rows that a graph takes at once; the runtime cuts longer batches. 1 makes the batch a fixed axis.
    """

    name: str = "demo"
    weights: Weights = "float16"
    precision: Precision = "float32"
    size: tuple[int, int] | None = None
    batch: int = MOST_ROWS

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= MOST_ROWS:
            raise UserError(
                f"expected 1 to {MOST_ROWS} rows at once, which is what the runtime gives, got {self.batch}"
            )

    @property
    def rounded(self) -> bool:
        """Whether large weights are rounded to float16 before anything is exported or compared."""
        return self.weights == "float16" and self.precision == "float32"

    def settings(self, trained: TwoStageSettings) -> TwoStageSettings:
        """The model's settings with this canvas.

        Raises:
            UserError: a side is no multiple of 64.
        """
        if self.size is None:
            return trained
        width, height = self.size
        if width % MULTIPLE or height % MULTIPLE or not 0 < min(self.size) <= max(self.size) <= 4096:
            raise UserError(f"expected a canvas in multiples of {MULTIPLE} pixels up to 4096, got {width}x{height}")
        return trained.model_copy(update={"body": trained.body.model_copy(update={"width": width, "height": height})})


DEFAULTS = ExportOptions()
