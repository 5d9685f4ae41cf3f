"""What an engine takes and gives: names, dtypes, shapes. Written once, read by the export and by the runtime.

Knows nothing about any inference library, file or model.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

DType = Literal["float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool"]


class TensorSpec(BaseModel):
    """One named tensor. An axis is a fixed size or the name of a free one ("batch", "height", "width")."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    dtype: DType
    shape: tuple[int | str, ...]


class EngineSpec(BaseModel):
    """The inputs and outputs of one engine, in the order of its graph. Equal axis names must have equal sizes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
