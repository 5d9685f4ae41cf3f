"""Reference attention: what one UNet's self-attentions see becomes a bank that another one's look at as well.

Every transformer block of the reference UNet gives the output of its first norm; the same block of the main UNet takes
keys and values from its own tokens followed by that bank (RealisHuman, section 3.2, as released). Banks travel as an
argument through diffusers' own call, so that nothing is kept between calls: activations may be computed twice, and a
graph may be traced. Knows nothing about noise, pixels or files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn


class Banks(Protocol):
    """What the self-attention of a block does beside its own tokens."""

    def seen(self, place: int, own: Tensor) -> Tensor:
        """Own tokens [B, n, w] of the block at `place` -> what keys and values are made of, [B, m, w]."""
        ...


@dataclass(frozen=True, eq=False)
class Written:
    """Keeps the tokens of every block."""

    tokens: dict[int, Tensor] = field(default_factory=dict)

    def seen(self, place: int, own: Tensor) -> Tensor:
        self.tokens[place] = own
        return own


@dataclass(frozen=True, eq=False)
class Read:
    """Own tokens, then the bank's.

    Attributes:
        tokens: a bank for every block, [B, m, w] each.
        referenced: [B], above 0 for rows that have a bank. Others get their own tokens twice, which weigh in a softmax
            as once: one batch holds rows with and without.
    """

    tokens: Sequence[Tensor]
    referenced: Tensor

    def seen(self, place: int, own: Tensor) -> Tensor:
        above = torch.relu(self.referenced).bool()[:, None, None]  # a comparison is no operator that bundles may have
        bank = torch.where(above, self.tokens[place].to(own.dtype), own)
        return torch.cat([own, bank], 1)


class BankedAttention:
    """diffusers' attention for the block at `place`; cross-attention stays what it is."""

    def __init__(self, place: int) -> None:
        self.place = place
        self._plain = AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        banks: Banks | None = None,
    ) -> Tensor:
        if encoder_hidden_states is None and banks is not None:
            encoder_hidden_states = banks.seen(self.place, hidden_states)
        out: Tensor = self._plain(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        return out


def blocks(unet: UNet2DConditionModel) -> Iterator[BasicTransformerBlock]:
    """The transformer blocks in the order in which they run; the UNet registers its middle last."""
    for stage in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        if stage is not None:
            yield from (module for module in stage.modules() if isinstance(module, BasicTransformerBlock))


def banked(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The UNet, in place, ready to write or to read banks; without any it computes what it did."""
    for place, block in enumerate(blocks(unet)):
        for attention in (block.attn1, block.attn2):
            attention.set_processor(BankedAttention(place))
    return unet


def write_banks(
    unet: UNet2DConditionModel, sample: Tensor, timestep: Tensor, context: Tensor, pose_feature: Tensor
) -> tuple[Tensor, ...]:
    """One evaluation of a banked UNet for its banks alone.

    Args:
        sample: the reference's latents, without noise, [B, C, h, w].
        timestep: int64 [B].
        context: [B, N, D].
        pose_feature: [B, C0, h, w], added to what conv_in gives.

    Returns:
        a bank for every block, [B, tokens, width] each.
    """
    written = Written()
    _posed(unet, sample, timestep, context, pose_feature, written)
    return tuple(written.tokens[place] for place in sorted(written.tokens))


def read_banks(
    unet: UNet2DConditionModel,
    sample: Tensor,
    timestep: Tensor,
    context: Tensor,
    pose_feature: Tensor,
    referenced: Tensor,
    banks: Sequence[Tensor],
) -> Tensor:
    """One evaluation of a banked UNet: x_t [B, C, h, w] and the arguments of `write_banks` and `Read` -> prediction."""
    return _posed(unet, sample, timestep, context, pose_feature, Read(banks, referenced))


def unread(unet: UNet2DConditionModel) -> list[str]:
    """Parameters of a reference UNet that no bank depends on: all that comes after the last block's first norm."""
    with torch.device("meta"):
        outline = banked(UNet2DConditionModel.from_config(unet.config))
        config = unet.config
        banks = write_banks(
            outline,
            torch.zeros(1, config.in_channels, 64, 64),
            torch.zeros(1, dtype=torch.int64),
            torch.zeros(1, 1, config.cross_attention_dim),
            torch.zeros(1, config.block_out_channels[0], 64, 64),
        )
        names, parameters = zip(*outline.named_parameters(), strict=True)
        total = torch.stack([bank.sum() for bank in banks]).sum()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    return [name for name, gradient in zip(names, gradients, strict=True) if gradient is None]


def _posed(
    unet: UNet2DConditionModel, sample: Tensor, timestep: Tensor, context: Tensor, pose_feature: Tensor, banks: Banks
) -> Tensor:
    with _added(unet.conv_in, pose_feature):
        prediction: Tensor = unet(
            sample,
            timestep,
            encoder_hidden_states=context,
            cross_attention_kwargs={"banks": banks},
            return_dict=False,
        )[0]
    return prediction


@contextmanager
def _added(module: nn.Module, extra: Tensor) -> Iterator[None]:
    """The module gives `extra` more while this lasts: a copy of the network has none of the original's hooks."""
    handle = module.register_forward_hook(lambda _module, _inputs, out: out + extra)
    try:
        yield
    finally:
        handle.remove()
