"""How graphs are written for GPUs: which opset, what becomes of attention and group normalisation, and the gate."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest
import torch
from support.gpu_graphs import GpuGraph
from torch import Tensor, nn
from torch.nn import functional

from handfirst.engines.bundle import Bundle
from handfirst.engines.choice import TOLERANCE
from handfirst.engines.errors import UserError
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.export import gate
from handfirst.export.form import form_of, head_sizes
from handfirst.export.options import ExportOptions
from handfirst.export.part import Part
from handfirst.runtime.cli.main import main

CALLS = {"text_encoder": 1, "hand_unet": 6, "controlnet": 2}
"""One layer of text; two per transformer block, of the picture and of the text: three blocks, and one in the middle."""

ASKED = [
    *(f"float16 {role}" for role in (*CALLS, "vae_decoder")),
    *(f"bfloat16 {role}" for role in ("mask_head", "controlnet")),
]


class Heads(nn.Module):
    """Attention of x [B, 4, C] to itself, in one head for each of `sizes`."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.sizes = sizes

    def forward(self, x: Tensor) -> Tensor:
        for size in self.sizes:
            q = x.reshape(len(x), 1, -1, size)
            x = functional.scaled_dot_product_attention(query=q, key=q, value=q).reshape(x.shape)
        return x


def attending(*sizes: int) -> Part:
    tensors = [TensorSpec(name=name, dtype="float32", shape=("batch", 4, 1024)) for name in "xy"]
    return Part("heads", Heads(*sizes), EngineSpec(inputs=(tensors[0],), outputs=(tensors[1],)))


@pytest.mark.parametrize(
    ("sizes", "attention", "opset"),
    [
        ((16,), "Attention", 23),
        ((64, 128), "Attention", 23),
        ((8,), "simple operators", 21),
        ((512,), "simple operators", 21),  # the head of Stable Diffusion's VAE
        ((64, 512), "simple operators", 21),
        ((), "none", 21),
    ],
)
def test_attention_is_one_operator_where_all_heads_fit(sizes: tuple[int, ...], attention: str, opset: int) -> None:
    part = attending(*sizes)
    assert head_sizes(part) == sizes
    form = form_of(part, "float16", 23)
    assert (form.attention, form.opset, form.normalisation) == (attention, opset, "InstanceNormalization in float32")


def test_float32_and_what_nobody_asked_for_stay_plain() -> None:
    part = attending(64)
    assert str(form_of(part, "float32", 23)) == str(form_of(part, "float32"))
    assert form_of(part, "float32", 23).opset == 21
    assert (form_of(part, "float16").opset, form_of(part, "bfloat16").opset) == (21, 22)
    assert form_of(part, "float16").normalisation == "GroupNormalization"


@pytest.mark.parametrize("name", ASKED)
def test_a_graph_for_gpus_is_written_so_and_passes_the_gate(name: str, gpu_graphs: dict[str, GpuGraph]) -> None:
    made = gpu_graphs[name]
    model = onnx.load_from_string(made.graph.model)
    onnx.checker.check_model(model, full_check=True)
    count = Counter(node.op_type for node in model.graph.node)
    assert count["Attention"] == len(made.heads) == CALLS.get(name.split()[1], 0)
    assert set(made.heads) <= {16}
    assert count["Softmax"] == count["GroupNormalization"] == 0
    assert [entry.version for entry in model.opset_import] == [made.form.opset]
    assert made.form.opset == (23 if made.heads else 21 if made.form.precision != "bfloat16" else 22)
    assert gate.check(made.graph, made.trials) > TOLERANCE[made.form.precision]


def test_a_norm_of_half_precision_stands_between_casts(gpu_graphs: dict[str, GpuGraph]) -> None:
    model = onnx.load_from_string(gpu_graphs["bfloat16 controlnet"].graph.model)
    types = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info
    kinds = {value.name: value.type.tensor_type.elem_type for value in types}
    norms = [node for node in model.graph.node if node.op_type == "InstanceNormalization"]
    assert norms and {kinds[name] for node in norms for name in node.output} == {onnx.TensorProto.FLOAT}
    convolved = {kinds[node.output[0]] for node in model.graph.node if node.op_type == "Conv"}
    assert convolved == {onnx.TensorProto.BFLOAT16}


def test_the_manifest_says_how_each_graph_is_written(two_graphs: Path) -> None:
    manifest = Bundle.open(two_graphs).manifest
    norm = "group normalisation, where there is one: InstanceNormalization in float32"
    assert manifest.decisions["text_encoder_graph"] == f"float16, opset 23; attention: Attention; {norm}"
    assert manifest.decisions["hint_encoder_graph"] == f"float16, opset 21; attention: none; {norm}"
    assert [(entry.opset, entry.precision) for entry in manifest.engines.values()] == [(23, "float16"), (21, "float16")]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--opset", "22"], "expected opset 23, or none for the one that each graph needs, got 22"),
        (["--opset", "23"], "expected it with --precision float16 or bfloat16, got float32"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_done(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=line):
        ExportOptions(precision="float32", opset=int(arguments[1]))
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "out"), *arguments]) == 2
    said = capsys.readouterr().err
    assert line in " ".join(said.split()) and said.count("\n") == 1 and not list(tmp_path.iterdir())


def test_torch_is_left_as_it_was() -> None:
    part = attending(64)
    x = torch.ones(1, 4, 1024)
    head_sizes(part)
    assert torch.equal(part.module(x), x)
