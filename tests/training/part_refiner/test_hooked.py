"""Reference attention against diffusers' own UNets with hooks on their attention: none of our modules is used there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from handfirst.training.systems.part_refiner.reference import banked, blocks, read_banks, unread, write_banks

UNET: dict[str, Any] = {
    "in_channels": 4, "out_channels": 4, "block_out_channels": (16, 32), "layers_per_block": 1,
    "attention_head_dim": 2, "norm_num_groups": 8, "cross_attention_dim": 24,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}  # fmt: skip


class Given:
    """Two pairs of a sample, with plain UNets of their own and ours of the same weights."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.main, self.reference = UNet2DConditionModel(**UNET).eval(), UNet2DConditionModel(**UNET).eval()
        self.ours = banked(_copy(self.main)), banked(_copy(self.reference))
        self.x_t, self.latents = torch.randn(2, 2, 4, 8, 8)
        self.t = torch.tensor([7, 901])
        self.context, self.pose, self.reference_pose = torch.randn(2, 5, 24), *torch.randn(2, 2, 16, 8, 8)


def _copy(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    copy = UNet2DConditionModel(**UNET).eval()
    copy.load_state_dict(unet.state_dict())
    return copy


def attentions(unet: nn.Module) -> list[nn.Module]:
    """The self-attentions, by the names of their blocks: both UNets have the same."""
    return [module.attn1 for _, module in unet.named_modules() if isinstance(module, BasicTransformerBlock)]


def hooked(given: Given, rows_without: list[int]) -> tuple[Tensor, list[Tensor]]:
    """The released way: the reference UNet's attentions are watched, the main one's get more keys; one row at a time,
    so that a row without a bank really has none. The pose comes out of conv_in."""
    seen: list[Tensor] = []
    outputs = []
    for row in range(2):
        one = slice(row, row + 1)
        bank: dict[int, Tensor] = {}
        handles = []

        def keep(index: int, into: dict[int, Tensor] = bank) -> Any:
            return lambda _module, inputs, _options: into.__setitem__(index, inputs[0])

        def look(index: int, of: dict[int, Tensor] = bank) -> Any:
            def more(_module: nn.Module, inputs: Any, options: dict[str, Any]) -> Any:
                return inputs, {**options, "encoder_hidden_states": torch.cat([inputs[0], of[index]], 1)}

            return more

        for i, attention in enumerate(attentions(given.reference)):
            handles.append(attention.register_forward_pre_hook(keep(i), with_kwargs=True))
        if row not in rows_without:
            for i, attention in enumerate(attentions(given.main)):
                handles.append(attention.register_forward_pre_hook(look(i), with_kwargs=True))
        for unet, pose in ((given.reference, given.reference_pose), (given.main, given.pose)):
            handles.append(unet.conv_in.register_forward_hook(lambda _m, _i, out, extra=pose[one]: out + extra))
        given.reference(given.latents[one], given.t[one], given.context[one])
        outputs.append(given.main(given.x_t[one], given.t[one], given.context[one]).sample)
        seen = [torch.cat(rows) for rows in zip(seen, bank.values(), strict=True)] if seen else list(bank.values())
        for handle in handles:
            handle.remove()
    return torch.cat(outputs), seen


@pytest.mark.parametrize("without", [[], [0], [0, 1]])
@torch.no_grad()
def test_main_and_reference_are_the_hooked_ones(without: list[int]) -> None:
    given = Given()
    expected, seen = hooked(given, without)
    main, reference = given.ours
    banks = write_banks(reference, given.latents, given.t, given.context, given.reference_pose)
    assert len(banks) == len(list(blocks(reference))) == 4
    for bank, wanted in zip(banks, seen, strict=True):
        torch.testing.assert_close(bank, wanted, rtol=1e-5, atol=1e-5)
    referenced = torch.tensor([0.0 if row in without else 1.0 for row in range(2)])
    spoilt = [torch.where(referenced[:, None, None] > 0, bank, torch.nan) for bank in banks]  # nobody may read these
    got = read_banks(main, given.x_t, given.t, given.context, given.pose, referenced, spoilt)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_what_no_bank_depends_on() -> None:
    """A change of any of these changes no bank; a change of any other changes one."""
    given, names = Given(), set(unread(UNet2DConditionModel(**UNET)))
    reference = given.ours[1]
    banks = write_banks(reference, given.latents, given.t, given.context, given.reference_pose)
    torch.stack([(bank * torch.randn_like(bank)).sum() for bank in banks]).sum().backward()
    assert names == {name for name, p in reference.named_parameters() if p.grad is None}
    assert "conv_out.weight" in names and "conv_in.weight" not in names
