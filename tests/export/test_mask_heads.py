"""Every mask head through the exporter and its gate: graphs of the hand UNet and the head against torch."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.exports import Exports
from support.tiny_model import tiny_model, tiny_settings

from handfirst.engines.graph import Graph, Precision
from handfirst.export import gate
from handfirst.export.examples import example
from handfirst.export.form import form_of
from handfirst.export.graph_files import serialise
from handfirst.export.part import Part
from handfirst.export.systems.two_stage.parts import part_makers
from handfirst.runtime.systems.two_stage.settings import MaskHeadSettings
from handfirst.training.systems.two_stage.model_folder import TwoStageModel

pytestmark = pytest.mark.long

WAYS = {
    "last, 4": (MaskHeadSettings(), ("batch", 16, 8, 8)),
    "last, 3": (MaskHeadSettings(layers=3), ("batch", 16, 8, 8)),
    "up_block, 4": (MaskHeadSettings(source="up_block"), ("batch", 32, 4, 4)),
}
WORST = {"float32": 100.0, "float16": 40.0}
"""PSNR in dB against torch."""


def model_of(way: str) -> TwoStageModel:
    hand = tiny_settings().hand.model_copy(update={"mask_head": WAYS[way][0]})
    return tiny_model(tiny_settings(hand=hand))


def gated(part: Part, precision: Precision, exports: Exports) -> tuple[bytes, float]:
    """The graph, and how near to torch the gate finds it."""
    trials, form = gate.run_trials(part), form_of(part, precision)
    graph = serialise(exports.to_onnx(part, "float32", form))
    return graph, gate.check(Graph(part.role, part.spec, graph, precision=form.precision), trials)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("precision", WORST)
def test_every_head_passes_the_gate(way: str, precision: Precision, exports: Exports) -> None:
    part = part_makers(model_of(way))["mask_head"]()
    assert part.spec.inputs[0].shape == WAYS[way][1] and part.spec.outputs[0].shape == ("batch", 1, 64, 64)
    assert gated(part, precision, exports)[1] > WORST[precision]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("opset", [None, 23])
def test_a_head_beside_bfloat16_has_no_operator_that_cuda_lacks_in_bfloat16(
    way: str, opset: int | None, exports: Exports
) -> None:
    """onnxruntime's CUDA provider has ConvTranspose in float32, float16 and float64 alone."""
    part = part_makers(model_of(way))["mask_head"]()
    form = form_of(part, "bfloat16", opset)
    model = onnx.load_from_string(serialise(exports.to_onnx(part, "float32", form)))
    typed = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*typed.input, *typed.value_info, *typed.output)}
    types |= {weight.name: weight.data_type for weight in typed.initializer}
    found = [types[name] for node in typed.node if node.op_type == "ConvTranspose" for name in node.input]
    assert len(found) >= 3 * WAYS[way][0].layers and set(found) == {onnx.TensorProto.FLOAT}
    assert form.precision == "float32" and form.opset == 21


def test_a_unet_in_half_precision_gives_the_up_blocks_feature(exports: Exports) -> None:
    assert gated(part_makers(model_of("up_block, 4"))["hand_unet"](), "float16", exports)[1] > WORST["float16"]


def test_the_up_blocks_two_graphs_give_torchs_mask(exports: Exports) -> None:
    model = model_of("up_block, 4")
    parts = {role: part_makers(model)[role]() for role in ("hand_unet", "mask_head")}
    graphs = {role: gated(part, "float32", exports)[0] for role, part in parts.items()}
    unet, head = (onnxruntime.InferenceSession(graphs[role], providers=["CPUExecutionProvider"]) for role in parts)
    inputs = example(parts["hand_unet"], 3)
    prediction, feature = unet.run(["prediction", "feature"], inputs)
    assert feature.shape == (3, 32, 4, 4) and parts["hand_unet"].spec.outputs[1].shape == WAYS["up_block, 4"][1]
    (mask,) = head.run(["mask"], {"feature": feature})
    with torch.no_grad():
        wanted = model.hand(*(torch.from_numpy(inputs[name]) for name in ("sample", "timestep", "context")))
        expected = model.hand.mask(wanted[1])
    assert mask.shape == (3, 1, 64, 64)
    np.testing.assert_allclose(prediction, wanted[0].numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mask, expected.numpy(), rtol=1e-4, atol=1e-5)
