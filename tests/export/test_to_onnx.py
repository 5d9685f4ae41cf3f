"""Every graph against torch through a plain onnxruntime session; what is in the file and what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.exports import Exports
from support.parts import two_stage_parts
from support.tiny_model import AUTOENCODERS, tiny_model
from transformers import CLIPTextConfig, CLIPTextModel

from handfirst.engines.errors import UserError
from handfirst.engines.ort import OrtEngine
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.engines.trust.graph_rules import check_graph_file
from handfirst.export.examples import example, reference
from handfirst.export.form import OPSETS
from handfirst.export.graph_files import read_graph, serialise, write_graph
from handfirst.export.part import Part
from handfirst.export.to_onnx import Weights, to_onnx
from handfirst.export.weights import round_weights
from handfirst.training.models.text_encoder import TextContext

pytestmark = pytest.mark.long

ROLES = (
    "text_encoder",
    "hand_unet",
    "mask_head",
    "hint_encoder",
    "controlnet",
    "body_unet",
    "vae_encoder",
    "vae_decoder",
)


@pytest.fixture(scope="module")
def graphs(parts: dict[str, Part], exports: Exports) -> dict[str, bytes]:
    return {role: serialise(exports.to_onnx(part, "float32")) for role, part in parts.items()}


def session(graph: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def torchs_own(part: Part, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    with torch.no_grad():
        out = part.module.eval()(*(torch.from_numpy(inputs[t.name]) for t in part.spec.inputs))
    return [t.numpy() for t in (out if isinstance(out, tuple) else (out,))]


def test_the_roles(parts: dict[str, Part]) -> None:
    assert tuple(parts) == ROLES


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("batch", "cells"), [(1, (8, 8)), (3, (2, 5)), (8, (12, 4))])
def test_a_graph_computes_what_torch_computes(
    role: str, batch: int, cells: tuple[int, int], parts: dict[str, Part], graphs: dict[str, bytes]
) -> None:
    part = parts[role]
    inputs = example(part, batch, seed=batch, cells=cells)
    got = session(graphs[role]).run([t.name for t in part.spec.outputs], inputs)
    for value, expected in zip(got, torchs_own(part, inputs), strict=True):
        assert value.shape == expected.shape and value.shape[0] == batch
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max()))


@pytest.mark.parametrize("role", ROLES)
def test_a_graph_says_what_its_spec_says(role: str, parts: dict[str, Part], graphs: dict[str, bytes]) -> None:
    opened, spec = session(graphs[role]), parts[role].spec
    kinds = {"float32": "tensor(float)", "int64": "tensor(int64)"}
    for found, tensors in ((opened.get_inputs(), spec.inputs), (opened.get_outputs(), spec.outputs)):
        assert [(f.name, f.type, tuple(f.shape)) for f in found] == [(t.name, kinds[t.dtype], t.shape) for t in tensors]


@pytest.mark.parametrize("role", ROLES)
def test_a_file_is_whole_and_holds_nothing_of_the_machine(role: str, graphs: dict[str, bytes]) -> None:
    model = onnx.load_from_string(graphs[role])
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import if o.domain == ""] == [("", OPSETS["float32"])]
    assert all(t.data_location == onnx.TensorProto.DEFAULT for t in model.graph.initializer)
    for path in ("site-packages", ".py", str(Path(__file__).parents[2]), str(Path.home())):
        assert path.encode() not in graphs[role]


def test_the_same_part_gives_the_same_bytes(parts: dict[str, Part], graphs: dict[str, bytes]) -> None:
    assert serialise(to_onnx(parts["mask_head"], "float32")) == graphs["mask_head"]


@pytest.mark.parametrize("name", [n for n in AUTOENCODERS if n != "AutoencoderTiny"])
def test_the_other_autoencoders(name: str, exports: Exports) -> None:
    found = {part.role: part for part in two_stage_parts(tiny_model(autoencoder=name))}
    for role in ("vae_encoder", "vae_decoder"):
        inputs = example(found[role], 2, cells=(3, 5))
        (got,) = session(serialise(exports.to_onnx(found[role], "float32"))).run(None, inputs)
        np.testing.assert_allclose(got, torchs_own(found[role], inputs)[0], rtol=1e-3, atol=1e-4)


def test_examples_repeat_and_stay_in_bounds(parts: dict[str, Part]) -> None:
    part = parts["hand_unet"]
    first, again, other = example(part, 5), example(part, 5), example(part, 5, seed=1)
    assert all(np.array_equal(first[k], again[k]) for k in first)
    assert not any(np.array_equal(first[k], other[k]) for k in first)
    assert first["timestep"].min() >= 0 and first["timestep"].max() < 1000


def test_a_network_that_contradicts_its_spec_is_named(parts: dict[str, Part]) -> None:
    part = parts["mask_head"]
    output = part.spec.outputs[0].model_copy(update={"shape": ("batch", 2, 64, 64)})
    wrong = replace(part, spec=EngineSpec(inputs=part.spec.inputs, outputs=(output,)))
    with pytest.raises(UserError, match=r"mask_head: output 'mask' expected \[1, 2, 64, 64\].* gives \[1, 1, 64, 64\]"):
        reference(wrong, example(wrong, 1))


def test_settings_and_networks_must_agree() -> None:
    model = tiny_model()
    text = model.settings.text.model_copy(update={"width": 48})
    model.settings = model.settings.model_copy(update={"text": text})
    with pytest.raises(UserError, match="text encoder width: the settings say 48, the network has 32"):
        next(two_stage_parts(model))


def test_damaged_weights_are_noticed(model_folder: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.hand.mask_head.layers[0].weight[0, 0, 0, 0] = float("nan")
    part = {p.role: p for p in two_stage_parts(model)}["mask_head"]
    with pytest.raises(UserError, match="mask_head: output 'mask' is not finite"):
        reference(part, example(part, 1))


@pytest.mark.parametrize("weights", ["float32", "float16"])
def test_a_text_encoder_of_full_width_is_what_the_runtime_takes(weights: Weights, tmp_path: Path) -> None:
    """Stable Diffusion's 77 places of 768 numbers: more than the exporter folds by itself. One layer, few words."""
    width, length = 768, 77
    config = CLIPTextConfig(
        vocab_size=50, hidden_size=width, intermediate_size=64, num_hidden_layers=1, num_attention_heads=12,
        max_position_embeddings=length, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    ids = TensorSpec(name="ids", dtype="int64", shape=("batch", length))
    context = TensorSpec(name="context", dtype="float32", shape=("batch", length, width))
    spec = EngineSpec(inputs=(ids,), outputs=(context,))
    part = Part("text_encoder", TextContext(CLIPTextModel(config)), spec, {"ids": 50})
    if weights == "float16":
        round_weights(part.module)
    files = write_graph(to_onnx(part, weights), tmp_path, "text_encoder")
    graph = read_graph(tmp_path, files, "text_encoder", spec, "float32")
    check_graph_file(graph)
    inputs = example(part, 2)
    (expected,) = torchs_own(part, inputs)
    engine = OrtEngine(graph, threads=1)
    np.testing.assert_allclose(engine.run(inputs)["context"], expected, rtol=1e-3, atol=1e-4)
    engine.close()
