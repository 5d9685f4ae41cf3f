"""Every mask head through the exporter and its gate: graphs of the hand UNet and the head against torch."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from support.tiny_model import tiny_model, tiny_settings

from handfirst.engines.graph import Graph, Precision
from handfirst.export import gate
from handfirst.export.examples import example
from handfirst.export.graph_files import serialise
from handfirst.export.parts import part_makers
from handfirst.export.to_onnx import to_onnx
from handfirst.runtime.settings import MaskHeadSettings
from handfirst.training.checkpoint import TwoStageModel

WAYS = {
    "last, 4": (MaskHeadSettings(), ("batch", 16, 8, 8)),
    "last, 3": (MaskHeadSettings(layers=3), ("batch", 16, 8, 8)),
    "up_block, 4": (MaskHeadSettings(source="up_block"), ("batch", 32, 4, 4)),
}


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> tuple[TwoStageModel, tuple[int | str, ...]]:
    settings, shape = WAYS[request.param]
    return tiny_model(tiny_settings(hand=tiny_settings().hand.model_copy(update={"mask_head": settings}))), shape


@pytest.mark.parametrize("role", ["hand_unet", "mask_head"])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_graph_passes_the_gate(
    role: str, precision: Precision, way: tuple[TwoStageModel, tuple[int | str, ...]]
) -> None:
    model, shape = way
    part = part_makers(model)[role]()
    side = part.spec.outputs if role == "hand_unet" else part.spec.inputs
    assert {t.name: t.shape for t in side}["feature"] == shape
    trials = gate.run_trials(part)
    graph = serialise(to_onnx(part, "float32", precision))
    part.module.float()
    assert gate.check(Graph(role, part.spec, graph, precision=precision), trials) > (
        100 if precision == "float32" else 40
    )


def test_the_two_graphs_give_torchs_mask(way: tuple[TwoStageModel, tuple[int | str, ...]]) -> None:
    model, _ = way
    makers = part_makers(model)
    unet, head = (
        onnxruntime.InferenceSession(serialise(to_onnx(makers[role](), "float32")), providers=["CPUExecutionProvider"])
        for role in ("hand_unet", "mask_head")
    )
    inputs = example(makers["hand_unet"](), 3)
    prediction, feature = unet.run(["prediction", "feature"], inputs)
    (mask,) = head.run(["mask"], {"feature": feature})
    with torch.no_grad():
        wanted = model.hand(*(torch.from_numpy(inputs[name]) for name in ("sample", "timestep", "context")))
        expected = model.hand.mask(wanted[1])
    assert mask.shape == (3, 1, 64, 64)
    np.testing.assert_allclose(prediction, wanted[0].numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mask, expected.numpy(), rtol=1e-4, atol=1e-5)
