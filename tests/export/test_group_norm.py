"""Group normalisation without its operator against torch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from handfirst.export.group_norm import FLOAT32, HALF, Translations


def exported(module: nn.Module, x: torch.Tensor, table: Translations = FLOAT32) -> Any:
    program = torch.onnx.export(
        module, (x,), dynamo=True, opset_version=21, dynamic_shapes=({0: "batch"},), verbose=False,
        custom_translation_table=table,
    )  # fmt: skip
    assert program is not None
    return program.model_proto


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("groups", "shape"), [(1, (2, 6, 5, 3)), (3, (2, 6, 5, 3)), (6, (2, 6, 4, 4)), (4, (3, 8, 7)), (2, (2, 4, 2, 3, 4))]
)
def test_it_computes_what_torch_computes(groups: int, shape: tuple[int, ...], affine: bool) -> None:
    generator = torch.Generator().manual_seed(groups)
    norm = nn.GroupNorm(groups, shape[1], eps=1e-3, affine=affine)
    for weights in norm.parameters():
        nn.init.normal_(weights, generator=generator)
    x = 3 + 5 * torch.randn(shape, generator=generator)
    graph = exported(norm.eval(), x)
    assert "GroupNormalization" not in {node.op_type for node in graph.graph.node}
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for given in (x, x[:1], 100 * x):
        got = session.run(None, {session.get_inputs()[0].name: given.numpy()})[0]
        np.testing.assert_allclose(got, norm(given).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("affine", [True, False])
def test_in_half_precision_its_statistics_are_float32(affine: bool) -> None:
    """Squares of 300 are beyond float16's 65504: only statistics in float32 are finite."""
    generator = torch.Generator().manual_seed(1)
    norm = nn.GroupNorm(2, 6, eps=1e-3, affine=affine)
    for weights in norm.parameters():
        nn.init.normal_(weights, generator=generator)
    x = (300 + 5 * torch.randn((2, 6, 16, 16), generator=generator)).half()
    expected = norm(x.float()).detach().numpy()  # in float32, of the same rounded numbers
    graph = exported(norm.half().eval(), x, HALF)
    nodes = graph.graph.node
    assert "GroupNormalization" not in {node.op_type for node in nodes}
    made = {name: node for node in nodes for name in node.output}
    (normal,) = [node for node in nodes if node.op_type == "InstanceNormalization"]
    cast = made[made[normal.input[0]].input[0]]
    assert cast.op_type == "Cast" and cast.attribute[0].i == onnx.TensorProto.FLOAT
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    got = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, expected, rtol=4e-3, atol=4e-3)  # roundings to 11 bits of numbers below 8
