"""One part -> one ONNX graph: explicit opset, free axes by name, nothing of the machine.

A graph takes and gives float32 whatever it computes in, so that the runtime and every engine treat all precisions
alike; the casts stand at its border. Knows nothing about roles, bundles or inference libraries.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import nn
from torch.export import Dim

from handfirst.engines.graph import Precision
from handfirst.engines.spec import TensorSpec
from handfirst.export.examples import example
from handfirst.export.form import Form, Normalisation, form_of
from handfirst.export.group_norm import FLOAT32, HALF, Translations
from handfirst.export.part import BATCH, CELLS, InPrecision, Part
from handfirst.export.weights import store_half

Weights = Literal["float16", "float32"]

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


NORMALISATIONS: dict[Normalisation, Translations | None] = {
    "GroupNormalization": None,
    "InstanceNormalization": FLOAT32,
    "InstanceNormalization in float32": HALF,
}
"""What the exporter is told; it writes GroupNormalization by itself."""


def to_onnx(part: Part, weights: Weights = "float16", form: Form | None = None) -> ir.Model:
    """Exports a part; the same part gives the same graph.

    Args:
        weights: how large weights of a float32 graph are stored; "float16" only where it changes none (see
            weights.round_weights).
        form: what the graph computes in, which its weights are stored in too, and its operators; None: the plain one
            in float32.
    """
    form = form or form_of(part)
    model: ir.Model = export_program(part, form).model
    _pick_constants(model)
    if form.precision == "float32" and weights == "float16":
        store_half(model)
    _clean(model)
    _name(model.graph.inputs, part.spec.inputs)
    _name(model.graph.outputs, part.spec.outputs)
    return model


def _pick_constants(model: ir.Model) -> None:
    """Every Gather of constant rows becomes the rows, in place: CLIP's embeddings of the places 0 .. L - 1.

    The exporter does that for small ones alone, and the runtime refuses what a library would compute as it opens a
    graph (engines/trust/value_rules.py).
    """
    graph = model.graph
    for node in [node for node in graph if node.op_type == "Gather"]:
        given = [None if value is None else value.const_value for value in node.inputs]
        if any(each is None for each in given):
            continue
        rows, places = (each.numpy() for each in given if each is not None)
        axis, (out,), weights = node.attributes.get_int("axis", 0), node.outputs, list(node.inputs)
        made = np.take(rows, places, axis)
        picked = ir.tensor(made, name=f"{node.name}.rows")
        value = ir.Value(name=picked.name, type=out.type, shape=ir.Shape(made.shape), const_value=picked)
        graph.register_initializer(value)
        out.replace_all_uses_with(value)
        graph.remove(node, safe=True)
        for weight in weights:
            if weight is not None and not weight.uses():
                graph.initializers.pop(weight.name or "", None)


def export_program(part: Part, form: Form) -> Any:
    """What torch's exporter makes of a part: its own program (`exported_program`) beside the graph (`model`).

    Values of the graph bear the names of the program's operations. In half precision the module's weights are converted
    in place.
    """
    given = tuple(torch.from_numpy(array) for array in example(part, batch=2).values())
    half = form.precision != "float32"
    module = InPrecision(part.module, DTYPES[form.precision]).eval() if half else part.module.eval()
    with _quiet():
        return torch.onnx.export(
            module,
            given,
            dynamo=True,
            opset_version=form.opset,
            dynamic_shapes=_dynamic_shapes(part, module),
            external_data=False,
            verbose=False,
            custom_translation_table=NORMALISATIONS[form.normalisation],
        )


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
