"""A graph's files: weights of large graphs lie beside it, and every engine reads both as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.external_data_helper import load_external_data_for_model
from support.exports import Exports
from support.tiny_model import tiny_model

from handfirst.engines.bundle import Bundle
from handfirst.engines.opening import open_engine
from handfirst.export import gate, graph_files
from handfirst.export.examples import example, reference
from handfirst.export.form import form_of
from handfirst.export.graph_files import read_graph, serialise, write_graph
from handfirst.export.options import ExportOptions
from handfirst.export.part import Part
from handfirst.export.systems.two_stage.parts import part_makers

pytestmark = pytest.mark.long


@pytest.fixture
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every graph counts as large."""
    monkeypatch.setattr(graph_files, "INLINE_LIMIT", 1000)


def test_a_small_graph_is_one_file(parts: dict[str, Part], exports: Exports, tmp_path: Path) -> None:
    model = exports.to_onnx(parts["mask_head"], "float32")
    files = write_graph(model, tmp_path, "mask_head")
    assert files.names == ("mask_head.onnx",)
    assert (tmp_path / "mask_head.onnx").read_bytes() == serialise(model)


def test_large_weights_lie_beside_the_graph_as_the_onnx_library_reads_them(
    low_limit: None, parts: dict[str, Part], exports: Exports, tmp_path: Path
) -> None:
    whole = onnx.load_from_string(serialise(exports.to_onnx(parts["hand_unet"], "float32")))
    files = write_graph(exports.to_onnx(parts["hand_unet"], "float32"), tmp_path, "hand_unet")
    assert files.names == ("hand_unet.onnx", "hand_unet.weights")
    apart = onnx.load(tmp_path / "hand_unet.onnx", load_external_data=False)
    outside = [t for t in apart.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert outside and {e.value for t in outside for e in t.external_data if e.key == "location"} == {files.data[0]}
    load_external_data_for_model(apart, str(tmp_path))
    expected = {t.name: onnx.numpy_helper.to_array(t) for t in whole.graph.initializer}
    got = {t.name: onnx.numpy_helper.to_array(t) for t in apart.graph.initializer}
    assert expected.keys() == got.keys() and all(np.array_equal(expected[k], got[k]) for k in expected)


@pytest.mark.parametrize("engine", ["cpu", "openvino"])
def test_engines_read_both_files_as_one(
    low_limit: None, engine: str, parts: dict[str, Part], exports: Exports, tmp_path: Path
) -> None:
    part = parts["controlnet"]
    files = write_graph(exports.to_onnx(part, "float32"), tmp_path, part.role)
    inputs = example(part, 2)
    got = open_engine(read_graph(tmp_path, files, part.role, part.spec, "float32"), engine).run(inputs)
    for name, value in reference(part, inputs).items():
        np.testing.assert_allclose(got[name], value, atol=1e-4)


def test_a_bundle_with_weights_apart_works_and_lists_every_file(
    low_limit: None, model_folder: Path, exports: Exports, tmp_path: Path
) -> None:
    bundle = Bundle.open(exports.export_bundle(model_folder, tmp_path / "b", ExportOptions("apart", "float32")))
    names = {path.name for path in bundle.path.iterdir()} - {"manifest.json"}
    assert names == set(bundle.manifest.files) and "body_unet.weights" in names
    assert bundle.manifest.engines["body_unet"].data == ("body_unet.weights",)


@pytest.mark.parametrize(("precision", "worst"), [("float16", 45), ("bfloat16", 25)])
def test_half_precision_takes_and_gives_float32(precision: str, worst: float, exports: Exports, tmp_path: Path) -> None:
    part = part_makers(tiny_model())["hand_unet"]()  # its own: the weights are converted in place
    trials = gate.run_trials(part)
    files = write_graph(exports.to_onnx(part, form=form_of(part, precision)), tmp_path, part.role)
    graph = read_graph(tmp_path, files, part.role, part.spec, precision)
    proto = onnx.load_from_string(graph.model)
    kind = {"float16": onnx.TensorProto.FLOAT16, "bfloat16": onnx.TensorProto.BFLOAT16}[precision]
    floats = [t for t in proto.graph.initializer if np.prod(t.dims) > 1000]
    assert floats and all(t.data_type == kind for t in floats)
    assert worst < gate.measure(graph, trials) < 100  # coarser than float32, and no nonsense
    assert next(part.module.parameters()).dtype == getattr(torch, precision)
