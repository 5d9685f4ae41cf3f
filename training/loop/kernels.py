"""torch's kernels for CPUs that are slow where these networks spend their time, and what runs in their place.

Measured on one core with AMX, a step of the demo's body (16 samples, bfloat16, channels last; medians of interleaved
steps): flash attention's backward takes a third of a step, twenty times its forward; group normalisation of bfloat16
in channels last takes four times as long as of float32. Without both a step takes .75 of the time. Nothing changes on
GPUs. Knows nothing about what is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def quick_attention(device: torch.device) -> Iterator[None]:
    """While it is open, attention on a CPU is two matrix products and a softmax, in the precision of its inputs."""
    if device.type != "cpu":
        yield
        return
    allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed  # named after CUDA, obeyed on CPUs too
    before = bool(allowed())  # type: ignore[no-untyped-call]
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before)


def widen_norms(module: nn.Module) -> None:
    """Group normalisations in `module` turn bfloat16 on a CPU into float32 from now on, as their result."""
    for layer in module.modules():
        if isinstance(layer, nn.GroupNorm):
            layer.register_forward_pre_hook(_widen)


def _widen(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    (x,) = inputs
    return (x.float(),) if x.dtype is torch.bfloat16 and x.device.type == "cpu" else inputs
