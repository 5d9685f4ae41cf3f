"""Half the size, the same numbers: float16 in the file, float32 in the arithmetic."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto
from torch import nn

from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.export.graph_files import serialise
from handfirst.export.part import Part
from handfirst.export.to_onnx import to_onnx
from handfirst.export.weights import LARGE, round_weights


def layer(scale: float = 1.0) -> Part:
    torch.manual_seed(0)
    module = nn.Linear(64, 64)
    with torch.no_grad():
        module.weight.mul_(scale)
    tensors = [TensorSpec(name=name, dtype="float32", shape=("batch", 64)) for name in ("x", "y")]
    return Part("layer", module, EngineSpec(inputs=(tensors[0],), outputs=(tensors[1],)))


def stored(graph: bytes) -> dict[int, int]:
    """Elements -> ONNX data type."""
    return {int(np.prod(t.dims)): t.data_type for t in onnx.load_from_string(graph).graph.initializer}


def test_rounding_is_numpys_and_spares_what_is_small() -> None:
    part = layer()
    weight, bias = part.module.weight.detach().numpy().copy(), part.module.bias.detach().numpy().copy()
    round_weights(part.module)
    assert np.array_equal(part.module.weight.detach().numpy(), weight.astype(np.float16).astype(np.float32))
    assert np.array_equal(part.module.bias.detach().numpy(), bias) and bias.size < LARGE


def test_rounded_weights_are_stored_as_halves_and_lose_nothing() -> None:
    part = layer()
    round_weights(part.module)
    half, full = serialise(to_onnx(part, "float16")), serialise(to_onnx(part, "float32"))
    assert stored(half) == {64 * 64: TensorProto.FLOAT16, 64: TensorProto.FLOAT}
    assert stored(full) == {64 * 64: TensorProto.FLOAT, 64: TensorProto.FLOAT}
    assert len(full) - len(half) > 0.9 * 2 * 64 * 64
    x = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    answers = [onnxruntime.InferenceSession(g).run(None, {"x": x})[0] for g in (half, full)]
    np.testing.assert_array_equal(*answers)


def test_weights_that_halves_cannot_hold_stay_whole() -> None:
    unrounded = layer()
    assert stored(serialise(to_onnx(unrounded, "float16")))[64 * 64] == TensorProto.FLOAT
    huge = layer(scale=1e7)
    before = huge.module.weight.detach().clone()
    round_weights(huge.module)
    assert torch.equal(huge.module.weight, before)
