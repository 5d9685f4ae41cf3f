"""What an engine takes and gives: names, dtypes, shapes. Written once, read by the export and by the runtime.

And whether a graph says the same of itself, compared before anything runs, in the words of no library.

Knows nothing about any inference library, file or model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from handfirst.engines.errors import BundleError

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


@dataclass(frozen=True)
class Port:
    """An input or output as the library reads it from the graph."""

    dtype: str
    """As specs write it, or the library's own word for what specs do not know."""
    shape: tuple[int | str | None, ...]
    """A size each; a free axis is a name, "?" or None."""


def check_ports(spec: EngineSpec, inputs: Mapping[str, Port], outputs: Mapping[str, Port], source: str) -> None:
    """Same names, dtypes and ranks; an axis that is fixed in the graph has the same size in the spec.

    Raises:
        BundleError: one line with the first tensor that differs, what the manifest says and what the graph says.
    """
    _check("input", spec.inputs, inputs, source)
    _check("output", spec.outputs, outputs, source)


def _check(kind: str, tensors: Sequence[TensorSpec], ports: Mapping[str, Port], source: str) -> None:
    if sorted(ports) != sorted(tensor.name for tensor in tensors):
        raise BundleError(
            f"{source}: the manifest names {kind}s {', '.join(t.name for t in tensors)}, the graph has "
            f"{', '.join(ports)}; export the bundle again"
        )
    for tensor in tensors:
        port = ports[tensor.name]
        if not _fits(tensor, port):
            raise BundleError(
                f"{source}: {kind} {tensor.name} is {tensor.dtype} {list(tensor.shape)} in the manifest but "
                f"{port.dtype} {list(port.shape)} in the graph; export the bundle again"
            )


def _fits(tensor: TensorSpec, port: Port) -> bool:
    if port.dtype != tensor.dtype or len(port.shape) != len(tensor.shape):
        return False
    return all(axis == size for axis, size in zip(tensor.shape, port.shape, strict=True) if isinstance(size, int))
