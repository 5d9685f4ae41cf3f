"""The export that exports nothing twice (support/exports.py): what counts as the same part, and what does not.

The exporter is a stand-in; that a kept graph equals a fresh one, to the byte, test_bundle_writer.py holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir
import pytest
import torch
from support import exports as module
from support.exports import Exports, digest
from torch import Tensor, nn

from handfirst.engines.spec import AxisLimits, EngineSpec, TensorSpec
from handfirst.export.form import Form, form_of
from handfirst.export.graph_files import serialise
from handfirst.export.part import Part, limit_rows
from handfirst.export.to_onnx import Weights


class Scaled(nn.Module):
    """y = scale * Wx; knows a folder."""

    def __init__(self, scale: float, folder: Path) -> None:
        super().__init__()
        self.scale, self.folder, self.layer = scale, folder, nn.Linear(3, 3, bias=False)
        nn.init.eye_(self.layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.layer(x)


def part(scale: float = 2.0, folder: Path = Path("/one")) -> Part:
    x, y = (TensorSpec(name=name, dtype="float32", shape=("batch", 3)) for name in "xy")
    return Part("scaled", Scaled(scale, folder), EngineSpec(inputs=(x,), outputs=(y,)))


def heavier(given: Part) -> Part:
    with torch.no_grad():
        given.module.layer.weight[0, 1] = 1e-3
    return given


def renamed(given: Part) -> Part:
    (y,) = given.spec.outputs
    return replace(given, spec=given.spec.model_copy(update={"outputs": (y.model_copy(update={"name": "z"}),)}))


def limited(given: Part) -> Part:
    return replace(given, spec=given.spec.model_copy(update={"limits": {"rows": AxisLimits(usual=4, most=4)}}))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The forms in which the exporter was asked for something; it answers with a graph of that name."""
    found: list[str] = []

    def stand_in(given: Part, weights: Weights, form: Form) -> ir.Model:
        found.append(form.precision)
        graph = ir.Graph([], [], nodes=[], opset_imports={"": form.opset}, name=f"{len(found)}")
        return ir.Model(graph, ir_version=10)

    monkeypatch.setattr(module, "to_onnx", stand_in)
    return found


def test_the_same_part_is_exported_once(asked: list[str], tmp_path: Path) -> None:
    """Wherever it was read from, and however many rows it may take."""
    same = part(), part(folder=Path("/two")), limit_rows(part(), 5)
    graphs = [Exports(tmp_path).to_onnx(each) for each in same]
    assert [graph.graph.name for graph in graphs] == ["1"] * 3 and len({serialise(graph) for graph in graphs}) == 1
    assert asked == ["float32"]


@pytest.mark.parametrize(
    "other",
    [
        lambda: part(scale=3.0),
        lambda: heavier(part()),
        lambda: renamed(part()),
        lambda: limited(part()),
        lambda: limit_rows(part(), 1),
    ],
    ids=["attribute", "weight", "name", "limit", "one row"],
)
def test_another_part_is_exported_anew(other: Callable[[], Part], asked: list[str], tmp_path: Path) -> None:
    names = [Exports(tmp_path).to_onnx(each).graph.name for each in (part(), other())]
    assert names == ["1", "2"]


def test_each_form_is_exported_once_and_converts_its_part_each_time(asked: list[str], tmp_path: Path) -> None:
    """However large weights are to be stored; the exporter converts a part to the half precision that it writes."""
    exports, half = Exports(tmp_path), form_of(part(), "float16")
    parts = []
    for _ in range(2):
        exports.to_onnx(part(), "float16")
        exports.to_onnx(part(), "float32")
        parts.append(part())
        exports.to_onnx(parts[-1], "float16", half)
    assert asked == ["float32", "float16"]
    assert parts[1].module.layer.weight.dtype == torch.float16  # the stand-in converts nothing
    assert digest(parts[1], half) != digest(part(), half)
