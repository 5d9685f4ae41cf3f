"""Group normalisation in a float32 graph against torch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from handfirst.export.to_onnx import FLOAT32


def exported(module: nn.Module, x: torch.Tensor) -> Any:
    program = torch.onnx.export(
        module, (x,), dynamo=True, opset_version=21, dynamic_shapes=({0: "batch"},), verbose=False,
        custom_translation_table=FLOAT32,
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
