"""What runs in place of slow kernels computes the same, forward and backward."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from handfirst.training.loop.feed import StepFeed
from handfirst.training.loop.kernels import attention_of, widen_norms
from handfirst.training.loop.loop import Loop
from handfirst.training.loop.machine import make_accelerator
from handfirst.training.loop.options import LoopOptions
from handfirst.training.loop.task import Task

PLAIN = LoopOptions(steps=2, batch=2, attention="plain")


def attended(dtype: torch.dtype) -> list[torch.Tensor]:
    """Attention of random heads and its gradients, in float32."""
    draw = torch.Generator().manual_seed(0)
    query, key, value, upstream = (torch.randn(2, 4, 36, 24, generator=draw).to(dtype) for _ in range(4))
    inputs = [tensor.requires_grad_() for tensor in (query, key, value)]
    out = F.scaled_dot_product_attention(*inputs)
    return [tensor.detach().float() for tensor in (out, *torch.autograd.grad(out, inputs, upstream))]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_attention_equals_the_flash_kernel_and_its_gradients(dtype: torch.dtype, tolerance: float) -> None:
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        wanted = attended(torch.float32)
    with attention_of(PLAIN):
        got = attended(dtype)
    for ours, theirs in zip(got, wanted, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < tolerance


def test_attention_leaves_torch_as_it_was() -> None:
    def switches() -> tuple[bool, ...]:
        cuda = torch.backends.cuda
        return cuda.flash_sdp_enabled(), cuda.math_sdp_enabled(), cuda.fp16_bf16_reduction_math_sdp_allowed()

    before = switches()
    with attention_of(PLAIN):
        assert switches() == (False, True, True)
    assert switches() == before
    with attention_of(PLAIN.model_copy(update={"attention": "sdpa"})):
        assert switches() == before


def test_norms_are_of_float32_and_only_on_bfloat16() -> None:
    x = torch.randn(2, 32, 5, 5).bfloat16().contiguous(memory_format=torch.channels_last)
    plain = nn.GroupNorm(8, 32)
    module = nn.Sequential(nn.GroupNorm(8, 32))
    widen_norms(module)
    torch.nn.init.normal_(plain.weight)
    module[0].load_state_dict(plain.state_dict())
    out = module(x)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, F.group_norm(x.float(), 8, plain.weight, plain.bias), rtol=0, atol=0)
    torch.testing.assert_close(module(x.float()), out, rtol=0, atol=0)
    assert module.bfloat16()(x).dtype == torch.bfloat16  # a network that is kept in it
    assert module.state_dict().keys() == nn.Sequential(plain).state_dict().keys()


class Watching(Task):
    """Notes, at every step, whether flash attention is to be had and what its norm makes of bfloat16."""

    def __init__(self) -> None:
        super().__init__("watching", nn.Sequential(nn.GroupNorm(2, 4)))
        self.seen: list[tuple[bool, torch.dtype]] = []

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        out = self.model(batch.bfloat16())
        self.seen.append((torch.backends.cuda.flash_sdp_enabled(), out.dtype))
        return {"mse": out.square().mean()}


def test_the_loop_trains_with_them(tmp_path: Path) -> None:
    task = Watching()
    feed = StepFeed(lambda step: torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(step)))
    assert Loop(task, feed, PLAIN, tmp_path, make_accelerator(PLAIN, cpu=True), show=False).run()
    assert task.seen == [(False, torch.float32)] * 2
