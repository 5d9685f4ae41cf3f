"""How a graph is written: its precision and opset, and which operators attention and group normalisation become.

The plain form is what every engine of this package runs. The form of opset 23 is for GPUs: onnxruntime's CUDA provider
has fast kernels for the Attention operator and none for GroupNormalization, and it never fuses attention that is
written in simple operators. Read in its sources and NVIDIA's documents; what it brings was not measured on a GPU.
Knows nothing about roles: heads are counted in what a part's module calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from handfirst.engines.graph import Precision
from handfirst.export.examples import example
from handfirst.export.part import Part

OPSETS: dict[Precision, int] = {"float32": 21, "float16": 21, "bfloat16": 22}
"""Of the plain form: GroupNormalization is one node from 21 on, convolutions take bfloat16 from 22 on."""

NEWEST = 23
"""Has Attention, which onnxruntime before 1.22 does not know."""

HEADS = range(16, 161)
"""Elements of a head that TensorRT for RTX takes in Attention, in half precision; Stable Diffusion's UNets have 40 to
160, its VAE has 512. onnxruntime's flash attention ends at 256."""

Normalisation = Literal["GroupNormalization", "InstanceNormalization", "InstanceNormalization in float32"]


@dataclass(frozen=True)
class Form:
    """How one graph is written.

    Attributes:
        precision: what it computes in; float32 beside half precision where that has no kernel.
        opset: of its operators.
        attention: whether there is any, and whether it is one operator.
        normalisation: what a group normalisation becomes; statistics are float32 in any case.
    """

    precision: Precision
    opset: int
    attention: Literal["none", "simple operators", "Attention"]
    normalisation: Normalisation

    def __str__(self) -> str:
        return (
            f"{self.precision}, opset {self.opset}; attention: {self.attention}; "
            f"group normalisation, where there is one: {self.normalisation}"
        )


def form_of(part: Part, precision: Precision = "float32", opset: int | None = None) -> Form:
    """The form of one part's graph.

    Args:
        precision: what was asked for. ConvTranspose has no kernel for bfloat16 in onnxruntime's CUDA provider, so a
            part with one becomes a float32 graph instead.
        opset: 23 asks for the GPUs' form in half precision; attention is one operator where all heads fit, and the
            opset stays that of the plain form where they do not.
    """
    if precision == "bfloat16" and any(isinstance(module, nn.ConvTranspose2d) for module in part.module.modules()):
        precision = "float32"
    heads = head_sizes(part)
    modern = opset == NEWEST and precision != "float32"
    fused = modern and bool(heads) and all(size in HEADS for size in heads)
    return Form(
        precision,
        NEWEST if fused else OPSETS[precision],
        "Attention" if fused else "simple operators" if heads else "none",
        _normalisation(precision, modern),
    )


def _normalisation(precision: Precision, modern: bool) -> Normalisation:
    if precision == "float32":
        return "InstanceNormalization"
    return "InstanceNormalization in float32" if modern else "GroupNormalization"


def head_sizes(part: Part) -> tuple[int, ...]:
    """Elements of a head, per call of torch's attention in one run of the part; nothing is computed."""
    calls = _Calls()
    inputs = [torch.from_numpy(array) for array in example(part, batch=1).values()]
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as fake, calls:
        part.module.eval()(*(fake.from_tensor(tensor) for tensor in inputs))
    return tuple(calls.heads)


class _Calls(TorchFunctionMode):
    """Notes the queries' last axis of every scaled dot-product attention."""

    def __init__(self) -> None:
        super().__init__()
        self.heads: list[int] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is functional.scaled_dot_product_attention:
            self.heads.append(int((args[0] if args else kwargs["query"]).shape[-1]))
        return func(*args, **(kwargs or {}))
