"""The mask head's named ways against diffusers' own blocks run by hand, and through everything that wraps a UNet."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from pydantic import ValidationError
from support.original_layout import TRUNK
from support.tiny_model import HAND_UNET, tiny_settings
from torch import Tensor, nn

from handfirst.engines.errors import UserError
from handfirst.runtime.systems.two_stage.settings import HandSettings, MaskHeadSettings, TwoStageSettings
from handfirst.training.losses import mask_loss
from handfirst.training.models.adapters import add_adapter
from handfirst.training.systems.two_stage.config import load_config
from handfirst.training.systems.two_stage.hand_generator import (
    HandGenerator,
    MaskHead,
    build_hand_generator,
    build_mask_head,
)

UP = MaskHeadSettings(source="up_block")
FOUR_BLOCKS: dict[str, Any] = {
    **TRUNK,
    "block_out_channels": (32, 64, 96, 128),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}
UNETS = {"two blocks": (HAND_UNET, 32), "four blocks": (FOUR_BLOCKS, 64)}
ALL = [MaskHeadSettings(source=s, layers=n) for s in ("last", "up_block") for n in (3, 4)]  # type: ignore[arg-type]


def generator(name: str = "two blocks", settings: MaskHeadSettings = UP, factor: int = 8) -> HandGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_hand_generator(UNETS[name][0], 4, 11, factor, settings).eval()


def inputs(name: str = "two blocks") -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    width = UNETS[name][0]["cross_attention_dim"]
    context = torch.randn(2, 16, width, generator=draw)
    return torch.randn(2, 15, 16, 16, generator=draw), torch.tensor([3, 700]), context


def before_the_last_upsampler(unet: UNet2DConditionModel, sample: Tensor, t: Tensor, context: Tensor) -> Tensor:
    """The UNet's blocks one after the other, stopped at the end of the last up block but one."""
    emb, x = unet.time_embedding(unet.time_proj(t)), unet.conv_in(sample)
    skips = [x]
    for block in unet.down_blocks:
        words = {"encoder_hidden_states": context} if hasattr(block, "attentions") else {}
        x, made = block(x, emb, **words)
        skips += made
    words = {"encoder_hidden_states": context} if getattr(unet.mid_block, "has_cross_attention", False) else {}
    x = unet.mid_block(x, emb, **words)
    for block in unet.up_blocks[:-1]:
        for i, resnet in enumerate(block.resnets):
            x = resnet(torch.cat([x, skips.pop()], 1), emb)
            x = block.attentions[i](x, encoder_hidden_states=context)[0] if hasattr(block, "attentions") else x
        feature = x
        x = block.upsamplers[0](x)
    return feature


@pytest.mark.parametrize("name", UNETS)
@torch.no_grad()
def test_the_up_blocks_feature_is_what_its_blocks_give_by_hand(name: str) -> None:
    hand, given = generator(name), inputs(name)
    prediction, feature = hand(*given)
    assert feature.shape == (2, UNETS[name][1], 8, 8)
    torch.testing.assert_close(feature, before_the_last_upsampler(hand.unet, *given))
    torch.testing.assert_close(prediction, generator(name, MaskHeadSettings())(*given)[0], rtol=0, atol=0)
    assert hand.mask(feature).shape == (2, 1, 128, 128)


def test_the_full_size_has_the_shapes_of_the_paper() -> None:
    config = load_config("sd15")
    found = {}
    for settings in (way for way in ALL if way != MaskHeadSettings(source="up_block", layers=3)):
        with torch.device("meta"), torch.no_grad():
            hand = build_hand_generator(config.hand_unet, 4, 11, 8, settings)
            given = torch.empty(1, 15, 64, 64), torch.empty(1, dtype=torch.int64), torch.empty(1, 77, 768)
            feature = hand(*given)[1]
            assert hand.mask(feature).shape == (1, 1, 512, 512)
        found[settings.source, settings.layers] = (
            tuple(feature.shape[1:]), hand.mask_head.layers(feature).shape[-1],
            sum(p.numel() for p in hand.mask_head.parameters()),
        )  # fmt: skip
    assert found == {
        ("last", 3): ((320, 64, 64), 512, 4 * (320 * 160 + 160 * 80 + 80) + 160 + 80 + 1),
        ("last", 4): ((320, 64, 64), 1024, 4 * (320 * 160 + 160 * 80 + 80 * 40 + 40) + 160 + 80 + 40 + 1),
        ("up_block", 4): ((640, 32, 32), 512, 4 * (640 * 320 + 320 * 160 + 160 * 80 + 80) + 320 + 160 + 80 + 1),
    }


@pytest.mark.parametrize(
    ("settings", "factor"), [(ALL[0], 8), (ALL[0], 4), (ALL[2], 4), (ALL[2], 2), (ALL[3], 8), (ALL[3], 2)]
)
def test_layers_are_blocks_of_pixels_and_the_pool_is_a_mean(settings: MaskHeadSettings, factor: int) -> None:
    head = MaskHead(32, factor, settings)
    layers = [layer for layer in head.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert len(layers) == settings.layers and head.in_channels == 32
    x = feature = torch.randn(2, 32, 3, 5)
    for i, layer in enumerate(layers):
        blocks = torch.einsum("bchw,cdij->bdhiwj", x, layer.weight)
        x = blocks.flatten(4, 5).flatten(2, 3) + layer.bias[:, None, None]
        x = x * torch.sigmoid(x) if i < len(layers) - 1 else x
    side = factor * (2 if settings.source == "up_block" else 1)  # pixels to a cell of the feature
    k = 2**settings.layers // side
    expected = x.unflatten(3, (-1, k)).unflatten(2, (-1, k)).mean((3, 5))
    assert head(feature).shape == (2, 1, 3 * side, 5 * side)
    torch.testing.assert_close(head(feature), expected, rtol=1e-4, atol=1e-5)


def test_what_makes_no_sense_is_said_in_one_line() -> None:
    three = MaskHeadSettings(source="up_block", layers=3)
    with pytest.raises(
        UserError, match=r"^mask_head: 3 layers on .* give 4 pixels .* latent\.factor = 8; .*layers = 4"
    ):
        build_mask_head((16, 32), 8, three)
    with pytest.raises(UserError, match="at least two up blocks, got one; take 'last'"):
        build_mask_head((16,), 8, UP)
    hand = HandSettings(size=64, condition=tiny_settings().hand.condition, mask_head=three)
    with pytest.raises(ValidationError, match="give 4 pixels per latent cell"):
        tiny_settings(hand=hand)
    odd = {"size": 72, "condition": {"grid": 9}, "mask_head": {"source": "up_block"}}
    with pytest.raises(ValidationError, match="even number of latent cells, got 9"):
        TwoStageSettings.model_validate({"hand": odd})


def test_settings_go_round_and_older_ones_mean_what_they_did() -> None:
    settings = tiny_settings(hand=HandSettings(size=64, condition=tiny_settings().hand.condition, mask_head=UP))
    assert TwoStageSettings.model_validate_json(settings.model_dump_json()) == settings
    older = tiny_settings().model_dump(mode="json")
    del older["hand"]["mask_head"], older["body"]["mask_schedule"], older["body"]["mask_count"]
    again = TwoStageSettings.model_validate(older)
    assert again == tiny_settings()
    assert (again.hand.mask_head.source, again.hand.mask_head.layers) == ("last", 4)
    assert again.body.mask_schedule == "pixels"


def test_checkpointed_activations_give_the_same_gradients() -> None:
    hand = generator().double().train()
    given = inputs()
    hand_inputs = (given[0].double(), given[1], given[2].double())

    def run() -> dict[str, Tensor]:
        hand.zero_grad()
        prediction, feature = hand(*hand_inputs)
        (prediction.square().mean() + hand.mask(feature).square().mean()).backward()
        return {name: p.grad.clone() for name, p in hand.named_parameters() if p.grad is not None}

    plain = run()
    hand.unet.enable_gradient_checkpointing()
    again = run()
    assert plain.keys() == again.keys() == dict(hand.named_parameters()).keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, rtol=1e-9, atol=1e-12)


def test_the_mask_alone_teaches_the_unet_up_to_its_feature() -> None:
    hand = generator()
    mask_loss(hand.mask(hand(*inputs())[1]), torch.ones(2, 1, 128, 128)).backward()
    size = {name: 0.0 if p.grad is None else float(p.grad.abs().sum()) for name, p in hand.named_parameters()}
    above = ("conv_out.", "unet.conv_norm_out.", "unet.up_blocks.1.", "unet.up_blocks.0.upsamplers.")
    assert {name for name, value in size.items() if value == 0} == {n for n in size if n.startswith(above)}


@torch.no_grad()
def test_copies_and_adapters_give_the_same_feature_and_no_hook_stays() -> None:
    hand = generator()
    prediction, feature = hand(*inputs())
    twin = copy.deepcopy(hand)
    for p in hand.parameters():
        p.zero_()
    for a, b in zip(twin(*inputs()), (prediction, feature), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    twin.unet = add_adapter(twin.unet, 2, 2.0, ("to_q", "upsamplers.0.conv"), trained=("conv_in",))
    for a, b in zip(twin(*inputs()), (prediction, feature), strict=True):  # a fresh adapter says nothing
        torch.testing.assert_close(a, b)
    assert not any(module._forward_pre_hooks for each in (hand, twin) for module in each.modules())
