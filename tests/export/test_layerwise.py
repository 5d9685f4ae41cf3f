"""Graphs that are spoiled on purpose: the operator that was touched is the one that is named."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper
from support.exports import Exports
from support.gpu_graphs import GpuGraph
from support.tiny_model import save_tiny_model, tiny_model

from handfirst.engines.errors import EngineError, UserError
from handfirst.engines.graph import Graph
from handfirst.export import bundle_writer, gate, layerwise
from handfirst.export.examples import example
from handfirst.export.graph_files import read_graph, write_graph
from handfirst.export.layerwise import Values, explain, first_deviation, graph_values, torch_values, whole_model
from handfirst.export.part import Part
from handfirst.export.systems.two_stage.parts import part_makers
from handfirst.export.to_onnx import to_onnx
from handfirst.runtime.cli.main import main

BAR = 40.0


@pytest.fixture(scope="module")
def half(gpu_graphs: dict[str, GpuGraph]) -> tuple[Graph, dict[str, np.ndarray], Values]:
    """The ControlNet in float16, opset 23, inputs, and torch's values of it."""
    made = gpu_graphs["float16 controlnet"]
    part = part_makers(tiny_model())["controlnet"]()
    inputs = example(part, 1, seed=5)
    return made.graph, inputs, torch_values(part, made.form, inputs)


def convolution(model: onnx.ModelProto, place: int) -> onnx.NodeProto:
    return [node for node in model.graph.node if node.op_type == "Conv"][place]


def test_of_an_honest_graph_no_operator_deviates(half: tuple[Graph, dict[str, np.ndarray], Values]) -> None:
    graph, inputs, expected = half
    got = graph_values(graph, inputs)
    compared = [n for n in got.keys() & expected.keys() if expected[n].shape == got[n].shape]
    assert len(compared) > len(got) / 2, "too few values bear torch's names"
    assert {tensor.name for tensor in graph.spec.outputs} <= set(compared)
    assert first_deviation(graph, expected, got, BAR) is None


@pytest.mark.parametrize("place", [0, 3, -1])
def test_a_spoiled_weight_is_found_at_its_own_operator(
    place: int, half: tuple[Graph, dict[str, np.ndarray], Values]
) -> None:
    graph, inputs, expected = half
    model = onnx.load_from_string(graph.model)
    node = convolution(model, place)
    (weight,) = [each for each in model.graph.initializer if each.name == node.input[1]]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float16(1.1), weight.name))
    spoiled = replace(graph, model=model.SerializeToString())
    found = first_deviation(spoiled, expected, graph_values(spoiled, inputs), BAR)
    assert found is not None and (found.operator, found.value) == ("Conv", node.output[0])
    assert found.figure < BAR and (found.before is None or found.before > BAR)


def test_a_spoiled_operator_is_found(half: tuple[Graph, dict[str, np.ndarray], Values]) -> None:
    graph, inputs, expected = half
    model = onnx.load_from_string(graph.model)
    node = [node for node in model.graph.node if node.op_type == "Attention"][1]
    node.attribute.append(onnx.helper.make_attribute("scale", 1.0))  # of heads of 16 it is 1/4
    spoiled = replace(graph, model=model.SerializeToString())
    found = first_deviation(spoiled, expected, graph_values(spoiled, inputs), BAR)
    assert found is not None and (found.operator, found.value) == ("Attention", node.output[0])


def head() -> Part:
    return part_makers(tiny_model())["mask_head"]()


def test_an_export_that_fails_names_the_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second transposed convolution gets another weight on its way into the file."""

    def spoiling(*given: object) -> object:
        model = to_onnx(*given)  # type: ignore[arg-type]
        node = [node for node in model.graph if node.op_type == "ConvTranspose"][1]
        value = node.inputs[1]
        assert value is not None and value.const_value is not None
        value.const_value = ir.tensor(value.const_value.numpy() * np.float32(2), name=value.name)
        return model

    monkeypatch.setattr(bundle_writer, "to_onnx", spoiling)
    options = bundle_writer.ExportOptions("spoiled", "float32")
    with pytest.raises(
        UserError,
        match=r"mask_head: the exported graph is .* that deviates is ConvTranspose 'convolution_1'",
    ) as caught:
        bundle_writer._write_part(tmp_path, head, options, lambda done, total: None)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_looked_into_is_said(gpu_graphs: dict[str, GpuGraph], monkeypatch: pytest.MonkeyPatch) -> None:
    made, part = gpu_graphs["bfloat16 controlnet"], part_makers(tiny_model())["controlnet"]()
    form, graph, inputs = made.form, made.graph, made.trials[0].inputs
    assert "was not looked for: controlnet: cpu cannot run it operator by operator" in explain(
        part, form, graph, inputs, BAR
    )
    with pytest.raises(UserError, match=r"mask_head: expected at most 10 bytes with its weights, got 12"):
        monkeypatch.setattr(layerwise, "LARGEST", 10)
        whole_model(Graph("mask_head", part.spec, b"x" * 12))
    monkeypatch.setattr(layerwise, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="pip install polygraphy"):
        graph_values(graph, inputs)


def test_weights_of_other_files_come_along(exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handfirst.export.graph_files.INLINE_LIMIT", 1)
    part = head()
    files = write_graph(exports.to_onnx(part, "float32"), tmp_path, part.role)
    graph = read_graph(tmp_path, files, part.role, part.spec, "float32")
    assert files.data and graph.data
    inputs = example(part, 2)
    expected = gate.reference(part, inputs)["mask"]
    np.testing.assert_allclose(graph_values(graph, inputs)["mask"], expected, rtol=1e-4, atol=1e-5)


def test_only_tensorrt_loads_polygraphys_tensorrt() -> None:
    """Its loaders allow host code in plans; what is not imported loads none."""
    assert not [name for name in sys.modules if name.startswith("polygraphy.backend.trt.loader")]


def test_compare_finds_nothing_in_a_bundle_and_its_model(
    two_graphs: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(two_graphs), str(model_folder)]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "_encoder" in line]
    assert len(rows) == 2 and all("nothing" in row for row in rows)


def test_compare_names_the_first_operator_of_another_models_graph(
    two_graphs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_tiny_model(tmp_path / "other", seed=1)
    assert main(["compare", str(two_graphs), str(tmp_path / "other"), "--role", "hint_encoder"]) == 1
    assert "the first operator that deviates is Conv 'conv2d'" in " ".join(capsys.readouterr().out.split())


def test_compare_says_what_is_wrong_with_the_call(
    two_graphs: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(two_graphs), str(model_folder), "--role", "nose"]) == 2
    assert "--role: expected one of text_encoder, hint_encoder; got 'nose'" in capsys.readouterr().err
