"""One part -> one ONNX graph: explicit opset, free axes by name, nothing of the machine.

A graph takes and gives float32 whatever it computes in, so that the runtime and every engine treat all precisions
alike; the casts stand at its border. Knows nothing about roles, bundles or inference libraries.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any, Literal

import onnx_ir as ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from onnxscript import opset21 as op
from torch import nn
from torch.export import Dim

from handfirst.engines.graph import Precision
from handfirst.engines.spec import TensorSpec
from handfirst.export.examples import example
from handfirst.export.part import BATCH, CELLS, InPrecision, Part
from handfirst.export.weights import store_half

OPSETS: dict[Precision, int] = {"float32": 21, "float16": 21, "bfloat16": 22}
"""GroupNormalization is one node from 21 on, convolutions take bfloat16 from 22 on; 23 would add Attention, which
TensorRT takes in half precision alone."""

Weights = Literal["float16", "float32"]

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def to_onnx(part: Part, weights: Weights = "float16", precision: Precision = "float32") -> ir.Model:
    """Exports a part; the same part gives the same graph.

    Args:
        weights: how large weights of a float32 graph are stored; "float16" only where it changes none (see
            weights.round_weights).
        precision: what the graph computes in; its weights are stored so too.
    """
    given = tuple(torch.from_numpy(array) for array in example(part, batch=2).values())
    module = part.module.eval() if precision == "float32" else InPrecision(part.module, DTYPES[precision]).eval()
    with _quiet():
        program: Any = torch.onnx.export(
            module,
            given,
            dynamo=True,
            opset_version=OPSETS[precision],
            dynamic_shapes=_dynamic_shapes(part, module),
            external_data=False,
            verbose=False,
            custom_translation_table=FLOAT32 if precision == "float32" else None,
        )
    model: ir.Model = program.model
    if precision == "float32" and weights == "float16":
        store_half(model)
    _clean(model)
    _name(model.graph.inputs, part.spec.inputs)
    _name(model.graph.outputs, part.spec.outputs)
    return model


def _dynamic_shapes(part: Part, module: nn.Module) -> tuple[Any, ...]:
    """Per argument of the module's forward its free axes; all that a starred one takes count as one argument."""
    tied = _tied_axes(part)
    axes = [{i: tied.get(a, a) for i, a in enumerate(t.shape) if isinstance(a, str)} for t in part.spec.inputs]
    own = list(signature(module.forward).parameters.values())
    if own[-1].kind is not Parameter.VAR_POSITIONAL:
        return tuple(axes)
    return (*axes[: len(own) - 1], tuple(axes[len(own) - 1 :]))


def _tied_axes(part: Part) -> dict[str, Any]:
    """Axes that must grow together: "rows" and "rows_2" are both multiples of one unknown, which torch has to know."""
    limits = part.spec.limits
    if not any(axis.startswith(f"{cell}_") for axis in limits for cell in CELLS):
        return {}
    tied: dict[str, Any] = {BATCH: Dim(BATCH, min=1, max=limits[BATCH].most)} if BATCH in limits else {}
    for cell in CELLS:
        whole = limits[cell]
        unit = Dim(f"{cell}_unit", min=whole.least // whole.multiple, max=whole.most // whole.multiple)
        for axis, each in limits.items():
            if axis.partition("_")[0] == cell:
                tied[axis] = unit if each.multiple == 1 else each.multiple * unit
    return tied


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


def _group_norm(
    x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enabled: bool = True
) -> Any:
    """aten::group_norm of x [B, C, ...], weight and bias [C] or None; `cudnn_enabled` says how, not what.

    An instance normalisation of the groups. ONNX's GroupNormalization (21) would be one node, but onnxruntime has no
    CPU kernel for it: it unfolds each into simple nodes as the session opens. This form has a kernel: sessions open in
    half of the time, and the UNets of the embedded model run in .87 .. .91 of it. In half precision GroupNormalization
    stays: it alone says that the statistics are taken in float32.
    """
    grouped = op.Reshape(x, op.Constant(value_ints=[0, groups, -1]))
    ones, zeros = op.Constant(value_floats=[1.0] * groups), op.Constant(value_floats=[0.0] * groups)
    normal = op.Reshape(op.InstanceNormalization(grouped, ones, zeros, epsilon=eps), op.Shape(x))
    per_channel = op.Constant(value_ints=[-1] + [1] * (len(x.shape) - 2))
    if weight is not None:
        normal = op.Mul(normal, op.Reshape(weight, per_channel))
    return normal if bias is None else op.Add(normal, op.Reshape(bias, per_channel))


FLOAT32: dict[Callable[..., Any], Callable[..., Any]] = {torch.ops.aten.group_norm.default: _group_norm}
"""How a float32 graph is written, for torch.onnx.export's custom_translation_table."""
