"""What only changes how fast a step is: float32 products of a GPU, attention, norms, compilation.

Two of torch's kernels for CPUs are slow where small networks spend their time. Measured on one core with AMX, a step of
the demo's body (16 samples, bfloat16, channels last; medians of interleaved steps): flash attention's backward takes a
third of a step, twenty times its forward; group normalisation of bfloat16 in channels last takes four times as long as
of float32. Without both a step takes .75 of the time. In float32, batch 1, plain attention takes 1.03 of a step
(benchmarks/results/train-options.json), and everywhere more memory: it keeps all products. Not measured on a GPU. Knows
nothing about what is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from handfirst.training.loop.options import LoopOptions
from handfirst.training.loop.task import Task


def compute_as_asked(task: Task, options: LoopOptions) -> None:
    """Everything but attention, for good."""
    torch.backends.cuda.matmul.allow_tf32 = options.tf32
    torch.backends.cudnn.allow_tf32 = options.tf32
    widen_norms(task)
    if options.compile:
        task.model.compile()


@contextmanager
def attention_of(options: LoopOptions) -> Iterator[None]:
    """While it is open, attention is as asked for; plain: two matrix products and a softmax, as wide as its inputs."""
    if options.attention == "sdpa":
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
    """Group normalisations of float32 weights in `module` turn bfloat16 on a CPU into float32 from now on, as their
    result."""
    for layer in module.modules():
        if isinstance(layer, nn.GroupNorm):
            layer.register_forward_pre_hook(_widen)


def _widen(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    (x,) = inputs
    mixed = x.dtype is torch.bfloat16 and x.device.type == "cpu" and layer.weight.dtype is torch.float32
    return (x.float(),) if mixed else inputs
