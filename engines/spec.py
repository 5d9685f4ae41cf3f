"""What an engine takes and gives: names, dtypes, shapes. Written once, read by the export and by the runtime.

Knows nothing about any inference library, file or model.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

DType = Literal["float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool"]

LARGEST_AXIS = 1 << 20


class TensorSpec(BaseModel):
    """One named tensor. An axis is a fixed size or the name of a free one ("batch", "height", "width")."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    """Of the graph's input or output."""
    dtype: DType
    """Of its elements, as NumPy calls it."""
    shape: tuple[int | str, ...]
    """An axis each: its size, or its name."""


class AxisLimits(BaseModel):
    """Which sizes a free axis takes: `least` to `most` in steps of `multiple`, and the `usual` one to tune for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least: int = Field(1, ge=1, le=LARGEST_AXIS)
    """Smallest size."""
    usual: int = Field(ge=1, le=LARGEST_AXIS)
    """Size that engines which tune for sizes tune for."""
    most: int = Field(ge=1, le=LARGEST_AXIS)
    """Largest size."""
    multiple: int = Field(1, ge=1, le=LARGEST_AXIS)
    """What every size is a multiple of."""

    @model_validator(mode="after")
    def _in_order(self) -> AxisLimits:
        if not self.least <= self.usual <= self.most:
            raise ValueError(f"expected least <= usual <= most, got {self.least}, {self.usual}, {self.most}")
        if off := [size for size in (self.least, self.usual, self.most) if size % self.multiple]:
            raise ValueError(f"expected multiples of {self.multiple}, got {off[0]}")
        return self

    def __contains__(self, size: int) -> bool:
        return self.least <= size <= self.most and size % self.multiple == 0

    def __str__(self) -> str:
        steps = f" in steps of {self.multiple}" if self.multiple > 1 else ""
        return f"{self.least} to {self.most}{steps}"


class EngineSpec(BaseModel):
    """The inputs and outputs of one engine, in the order of its graph. Equal axis names must have equal sizes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    """What `run` must be given, by name."""
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    """What it gives."""
    limits: dict[str, AxisLimits] = Field({}, max_length=100)
    """Of free axes, by name; one that is not here takes any size."""

    @model_validator(mode="after")
    def _limits_are_of_its_axes(self) -> EngineSpec:
        axes = {axis for tensor in (*self.inputs, *self.outputs) for axis in tensor.shape}
        if strange := sorted(self.limits.keys() - axes):
            raise ValueError(f"limits of {strange[0]!r:.60}, which is no free axis of any tensor")
        return self

    @property
    def most_rows(self) -> int | None:
        """Rows of a batch, the first axis of its first input, that it takes at once; None: any number."""
        first = self.inputs[0].shape[0] if self.inputs[0].shape else None
        if isinstance(first, str):
            return self.limits[first].most if first in self.limits else None
        return first
