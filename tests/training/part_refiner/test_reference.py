"""Reference attention against diffusers' own UNet with its attention worked by hand; schedules against diffusers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.table import Schedule
from handfirst.training.systems.part_refiner.reference import banked, blocks, read_banks, unread, write_banks

TINY = {
    "sample_size": 8, "in_channels": 4, "out_channels": 4, "cross_attention_dim": 12, "attention_head_dim": 2,
    "block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}  # fmt: skip


def unet(seed: int) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    return UNet2DConditionModel(**TINY).eval()


def inputs(seed: int, rows: int = 2) -> tuple[torch.Tensor, ...]:
    """sample, timestep, context, pose_feature."""
    torch.manual_seed(seed)
    return (
        torch.randn(rows, 4, 8, 8),
        torch.tensor([3, 700][:rows]),
        torch.randn(rows, 5, 12),
        torch.randn(rows, 16, 8, 8),
    )


def by_hand(attn, own: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(d)) v, head by head."""
    q, k, v = attn.to_q(own), attn.to_k(seen), attn.to_v(seen)
    width = q.shape[-1] // attn.heads
    heads = []
    for at in range(attn.heads):
        part = slice(at * width, (at + 1) * width)
        weights = torch.softmax(q[..., part] @ k[..., part].transpose(1, 2) / width**0.5, -1)
        heads.append(weights @ v[..., part])
    return attn.to_out[0](torch.cat(heads, -1))


def posed(network: UNet2DConditionModel, sample, timestep, context, pose_feature) -> torch.Tensor:
    """diffusers' own forward pass, with the pose added after the first convolution."""
    plain = network.conv_in.forward
    network.conv_in.forward = lambda x: plain(x) + pose_feature
    return network(sample, timestep, encoder_hidden_states=context).sample


@torch.no_grad()
def test_banks_are_the_norms_of_every_block_in_the_order_in_which_they_run() -> None:
    own, given = unet(0), inputs(1)
    stock, seen = copy.deepcopy(own), []
    for block in blocks(stock):
        block.norm1.register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    posed(stock, *given)
    banks = write_banks(banked(own), *given)
    assert (
        len(banks)
        == len(seen)
        == sum(name.endswith("norm1.weight") and "transformer" in name for name in own.state_dict())
    )
    for bank, norm in zip(banks, seen, strict=True):
        torch.testing.assert_close(bank, norm, rtol=0, atol=1e-6)


@torch.no_grad()
def test_rows_look_at_their_banks_or_at_nothing_but_themselves() -> None:
    """A row with a bank and one without, in one batch: diffusers' attention over [own; bank], and over its own."""
    main, reference = unet(2), unet(3)
    banks = write_banks(banked(reference), *inputs(4))
    given = inputs(5)
    made = read_banks(banked(copy.deepcopy(main)), *given, torch.tensor([1.0, 0.0]), banks)
    with_bank, alone = copy.deepcopy(main), copy.deepcopy(main)
    for place, block in enumerate(blocks(with_bank)):
        block.attn1.forward = lambda own, attn=block.attn1, bank=banks[place], **_: by_hand(
            attn, own, torch.cat([own, bank], 1)
        )
    torch.testing.assert_close(made[0], posed(with_bank, *given)[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(made[1], posed(alone, *given)[1], rtol=0, atol=1e-5)
    assert (made[0] - posed(copy.deepcopy(main), *given)[0]).abs().max() > 1e-3  # the bank says something


def test_what_no_bank_depends_on_is_named() -> None:
    names = unread(unet(6))
    assert {"conv_out.weight", "conv_norm_out.weight"} <= set(names) and "conv_in.weight" not in names
    assert not any(name.startswith("down_blocks.0.") for name in names)


@pytest.mark.parametrize("betas", ["linear", "scaled_linear"])
def test_zero_terminal_snr_is_that_of_diffusers(betas: str) -> None:
    settings = ScheduleSettings(betas=betas, zero_snr=True)
    scheduler = DDIMScheduler(
        beta_start=settings.beta_start, beta_end=settings.beta_end, beta_schedule=betas, rescale_betas_zero_snr=True
    )
    np.testing.assert_allclose(
        Schedule(settings).alpha_bar, scheduler.alphas_cumprod.double().numpy(), rtol=0, atol=1e-6
    )
