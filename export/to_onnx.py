"""One part -> the bytes of one ONNX file: explicit opset, free axes by name, no external data, nothing of the machine.

Knows nothing about roles, bundles or inference libraries.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import onnx_ir as ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from handfirst.engines.errors import UserError
from handfirst.engines.spec import TensorSpec
from handfirst.export.examples import example
from handfirst.export.parts import Part
from handfirst.export.weights import store_half

OPSET = 21
"""GroupNormalization is one node from 21 on; 23 would add Attention, which half-precision engines alone accept."""

Weights = Literal["float16", "float32"]

LIMIT = 2**31 - 1
"""Protobuf's own limit for one message, hence for a graph with its weights inside."""


def to_onnx(part: Part, weights: Weights = "float16") -> bytes:
    """Exports a part; the same part gives the same bytes.

    Args:
        weights: how large weights are stored; "float16" only where it changes none (see weights.round_weights).

    Raises:
        UserError: the graph would not fit into one file.
    """
    given = tuple(torch.from_numpy(array) for array in example(part, batch=2).values())
    with _quiet():
        program: Any = torch.onnx.export(
            part.module.eval(),
            given,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=_dynamic_shapes(part),
            external_data=False,
            verbose=False,
        )
    model: ir.Model = program.model
    if weights == "float16":
        store_half(model)
    _clean(model)
    _name(model.graph.inputs, part.spec.inputs)
    _name(model.graph.outputs, part.spec.outputs)
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None)
    if size > LIMIT:
        raise UserError(
            f"{part.role}: {size / 1e9:.1f} GB of weights do not fit into one ONNX file (2 GB); use float16"
        )
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data


def _dynamic_shapes(part: Part) -> tuple[Any, ...]:
    """Per argument of the module's forward the names of its free axes; *residuals count as one argument."""
    axes = [{i: axis for i, axis in enumerate(t.shape) if isinstance(axis, str)} for t in part.spec.inputs]
    variadic = [i for i, t in enumerate(part.spec.inputs) if t.name.startswith("residual_")]
    if not variadic:
        return tuple(axes)
    first = variadic[0]
    return (*axes[:first], tuple(axes[first:]))


def _name(values: Any, tensors: tuple[TensorSpec, ...]) -> None:
    """The spec's names and axes on the graph's own inputs or outputs."""
    for value, tensor in zip(values, tensors, strict=True):
        value.name = tensor.name
        value.shape = ir.Shape(tensor.shape)


def _clean(model: ir.Model) -> None:
    """Removes stack traces (they hold paths of this machine) and the shapes of inner values (parsers infer them)."""
    ClearMetadataAndDocStringPass()(model)
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for value in [*model.graph.inputs, *model.graph.initializers.values()]:
        value.metadata_props.clear()
    for node in model.graph.all_nodes():
        for value in node.outputs:
            value.metadata_props.clear()
            if not value.is_graph_output():
                value.shape, value.type = None, None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what the exporter says about itself: optional libraries, its own deprecations, repeated axis names."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*LeafSpec.*", FutureWarning)
            warnings.filterwarnings("ignore", r".*The axis name.*", UserWarning)
            yield
    finally:
        logger.setLevel(level)
