"""What may be chosen when a model becomes a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from handfirst.engines.errors import UserError
from handfirst.engines.graph import Precision
from handfirst.export.form import NEWEST
from handfirst.export.to_onnx import Weights
from handfirst.runtime.running import MOST_ROWS
from handfirst.training.models.lora import LoraFile

Size = tuple[int, int]

LoraStage = Literal["body", "both"]
"""Whose UNet LoRA files change: the body's, which is what they were made for, or the hands' too."""

PresetName = Literal["lcm", "hyper-sd"]


@dataclass(frozen=True)
class Preset:
    """What requests get that say nothing, for weights that were distilled to few steps."""

    name: PresetName
    steps: int

    @classmethod
    def read(cls, text: str) -> Preset:
        """NAME or NAME:STEPS.

        Raises:
            UserError: another name, or steps that it does not have.
        """
        name, colon, steps = text.partition(":")
        for known in PRESET_STEPS:
            if name == known and (not colon or steps in ("1", "2", "3", "4", "5", "6", "7", "8")):
                return cls(known, int(steps or PRESET_STEPS[known]))
        raise UserError(
            f"--preset: expected {' or '.join(PRESET_STEPS)}, with steps from 1 to 8 such as lcm:4, got {text!a}"
        )


PRESET_STEPS: dict[PresetName, int] = {"lcm": 8, "hyper-sd": 8}
"""Steps of a preset that does not say them."""


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
        sizes: the smallest and the largest canvas that requests may ask for; None: only `size`, the fastest; without
            one, those that the model was trained on.
        loras: files that are merged into the networks, in this order.
        lora_stage: whose UNet they change; the preset is for the same stages.
        preset: how few-step weights are run; None: as the model says.
        preview: TAESD, folder or file, whose decoder becomes the bundle's for previews; None: it has none.
    """

    name: str = "demo"
    weights: Weights = "float16"
    precision: Precision = "float32"
    size: Size | None = None
    batch: int = MOST_ROWS
    sizes: tuple[Size, Size] | None = None
    opset: int | None = None
    loras: tuple[LoraFile, ...] = ()
    lora_stage: LoraStage = "body"
    preset: Preset | None = None
    preview: Path | None = None

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
