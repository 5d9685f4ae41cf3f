"""Operations of exported graphs against torch's own counter, and what stands in the way of a count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from support.parts import two_stage_parts
from support.tiny_model import tiny_model
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.errors import BundleError
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.export.examples import example
from handfirst.export.graph_files import serialise
from handfirst.export.part import Part
from handfirst.export.to_onnx import to_onnx
from handfirst.runtime.profile.flops import BundleFlops, GraphFlops
from handfirst.runtime.profile.shapes import UnknownShapeError

Array = np.ndarray


def torchs_count(part: Part, inputs: dict[str, Array]) -> int:
    """By torch.utils.flop_counter, with attention taken apart as the export takes it apart."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        part.module.eval()(*(torch.from_numpy(inputs[tensor.name]) for tensor in part.spec.inputs))
    return counter.get_total_flops()


@pytest.fixture(scope="module")
def parts() -> dict[str, Part]:
    return {part.role: part for part in two_stage_parts(tiny_model())}


@pytest.mark.parametrize("role", ["hand_unet", "mask_head", "vae_decoder"])
def test_torch_counts_the_same(role: str, parts: dict[str, Part]) -> None:
    """Convolutions, transposed ones, matrices, attention; free batch, height and width."""
    part = parts[role]
    counter = GraphFlops(serialise(to_onnx(part, "float32")), part.spec, role)
    for batch, cells in ((1, (8, 8)), (3, (4, 6))):
        inputs = example(part, batch, seed=0, cells=cells)
        expected = torchs_count(part, inputs)
        assert counter.count(tuple(inputs[tensor.name].shape for tensor in part.spec.inputs)) == expected > 0


def linear(op: str, **attributes: int) -> tuple[bytes, EngineSpec]:
    """y = op(x [n, 3, 4], w [n, 4, 5])."""
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xwy"]
    node = helper.make_node(op, ["x", "w"], ["y"], **attributes)
    model = helper.make_model(helper.make_graph([node], "g", tensors[:2], tensors[2:]))
    x, w, y = (TensorSpec(name=name, dtype="float32", shape=("n", "a", "b")) for name in "xwy")
    return model.SerializeToString(), EngineSpec(inputs=(x, w), outputs=(y,))


def test_a_product_of_matrices_by_hand() -> None:
    counter = GraphFlops(*linear("MatMul"), "g")
    assert counter.count(((7, 3, 4), (7, 4, 5))) == 2 * 7 * 3 * 4 * 5
    assert counter.count(((2, 3, 4), (1, 4, 5))) == 2 * 2 * 3 * 4 * 5


def test_a_graph_with_an_operator_that_is_not_known_is_not_counted() -> None:
    counter = GraphFlops(*linear("Einsum"), "g")
    with pytest.raises(UnknownShapeError, match=r"Einsum of \[7, 3, 4\], \[7, 4, 5\]"):
        counter.count(((7, 3, 4), (7, 4, 5)))


def test_sizes_that_do_not_fit_are_not_counted() -> None:
    with pytest.raises(UnknownShapeError, match="MatMul"):
        GraphFlops(*linear("MatMul"), "g").count(((7, 3, 4), (7, 3, 5)))


def test_bytes_that_are_no_graph_are_refused() -> None:
    with pytest.raises(BundleError, match="expected an ONNX graph"):
        GraphFlops(b"not a graph", linear("MatMul")[1], "g")


def test_a_bundle_is_counted_role_by_role(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hands of the embedded model with guidance are four rows, and four rows are four times one."""
    flops = BundleFlops(Bundle.open(demo_bundle_path()))
    one, four = (flops.count("hand_unet", ((n, 52, 16, 16), (n,), (n, 48, 96))) for n in (1, 4))
    assert one is not None and four == 4 * one
    assert flops.unknown == {}
    model, spec = linear("Einsum")
    monkeypatch.setattr(flops, "_graphs", {"net": GraphFlops(model, spec, "g")})
    assert flops.count("net", ((7, 3, 4), (7, 4, 5))) is None
    assert flops.unknown == {"net": "Einsum of [7, 3, 4], [7, 4, 5]"}
