"""What may be chosen when a model becomes a bundle."""

from __future__ import annotations

from dataclasses import dataclass

from handfirst.engines.errors import UserError
from handfirst.engines.graph import Precision
from handfirst.engines.spec import AxisLimits
from handfirst.export.to_onnx import Weights
from handfirst.runtime.running import MOST_ROWS
from handfirst.runtime.systems.two_stage.settings import LARGEST_SIDE, TwoStageSettings

MULTIPLE = 64
"""Pixels: three halvings of a latent of eight pixels per cell."""

LEAST_FREE = 2 * MULTIPLE
"""Pixels of the smallest free side: where a map is one cell wide, torch's exporter takes its width for fixed."""

Size = tuple[int, int]


@dataclass(frozen=True)
class ExportOptions:
    """How a bundle is made.

    Attributes:
        name: the bundle's name in its manifest.
        weights: how large weights of float32 graphs are stored; float16 halves the files, not the arithmetic.
        precision: what the graphs compute in.
        size: width and height of the canvas in pixels, multiples of 64; None: what the model was trained for.
        batch: rows that a graph takes at once; the runtime cuts longer batches. 1 makes the batch a fixed axis.
        sizes: the smallest and the largest canvas that requests may ask for; None: only `size`, the fastest.
    """

    name: str = "demo"
    weights: Weights = "float16"
    precision: Precision = "float32"
    size: Size | None = None
    batch: int = MOST_ROWS
    sizes: tuple[Size, Size] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= MOST_ROWS:
            raise UserError(f"expected 1 to {MOST_ROWS} rows at once, as the runtime gives no more, got {self.batch}")

    @property
    def rounded(self) -> bool:
        """Whether large weights are rounded to float16 before anything is exported or compared."""
        return self.weights == "float16" and self.precision == "float32"

    def settings(self, trained: TwoStageSettings) -> TwoStageSettings:
        """The model's settings with this canvas, or these.

        Raises:
            UserError: a side is no multiple of 64, or the canvas is not between the smallest and the largest.
        """
        width, height = self.size or (trained.body.width, trained.body.height)
        if self.size is not None:
            _check(self.size, 1)
        changes: dict[str, object] = {"width": width, "height": height}
        if self.sizes is not None:
            least, most = self.sizes
            for size in (least, (width, height), most):
                _check(size, LEAST_FREE)
            changes |= {
                "widths": _limits("width", least[0], width, most[0]),
                "heights": _limits("height", least[1], height, most[1]),
            }
        return trained.model_copy(update={"body": trained.body.model_copy(update=changes)})


def _check(size: Size, least: int) -> None:
    if any(side % MULTIPLE or not least <= side <= LARGEST_SIDE for side in size):
        above = f" from {least}" if least > 1 else ""
        raise UserError(
            f"expected a canvas in multiples of {MULTIPLE} pixels{above} up to {LARGEST_SIDE}, got {size[0]}x{size[1]}"
        )


def _limits(side: str, least: int, usual: int, most: int) -> AxisLimits:
    if not least <= usual <= most:
        raise UserError(
            f"sizes: the model's own {side} of {usual} is not between {least} and {most}; "
            "widen them, or give another canvas with --size"
        )
    return AxisLimits(least=least, usual=usual, most=most, multiple=MULTIPLE)


DEFAULTS = ExportOptions()
