"""The stage models: the full size has Stable Diffusion 1.5's own parameter counts, every class does as it says."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.tiny_model import AUTOENCODERS, BODY_UNET, CAPTIONS, HAND_UNET, save_tiny_model, tiny_model
from torch import nn

from handfirst.engines.errors import UserError
from handfirst.training.models.autoencoder import build_autoencoder, latent_statistics
from handfirst.training.models.text_encoder import build_text_encoder, train_tokenizer
from handfirst.training.systems.two_stage.body_outpainter import BodyOutpainter, build_base_unet, build_controlnet
from handfirst.training.systems.two_stage.config import load_config
from handfirst.training.systems.two_stage.hand_generator import MaskHead, build_hand_generator
from handfirst.training.systems.two_stage.model_folder import load_model

# What the published checkpoints of Stable Diffusion 1.5 and its ControlNets hold.
SD15_UNET, SD15_CONTROLNET, SD15_VAE, SD15_TEXT = 859_520_964, 361_279_120, 83_653_863, 123_060_480


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_full_size_is_stable_diffusion_and_little_more() -> None:
    config = load_config("sd15")
    settings = config.settings
    with torch.device("meta"):
        hand = build_hand_generator(
            config.hand_unet, settings.latent.channels, settings.condition_channels, settings.latent.factor
        )
        base = build_base_unet(config.body_unet, settings.latent.channels)
        controlnet = diffusers.ControlNetModel(
            **{k: base.config[k] for k in ("in_channels", "block_out_channels", "layers_per_block", "norm_num_groups")},
            down_block_types=base.config["down_block_types"],
            attention_head_dim=base.config["attention_head_dim"],
            cross_attention_dim=base.config["cross_attention_dim"],
            conditioning_channels=settings.body.hint_channels,
            **config.controlnet,
        )
        vae = build_autoencoder(config.autoencoder)
        text = build_text_encoder(config.text_encoder, settings.text.length, settings.text.width, 49408)
    head = 4 * (320 * 160 + 160 * 80 + 80 * 40 + 40) + 160 + 80 + 40 + 1
    assert settings.condition_channels == 11
    assert tuple(hand.unet.conv_in.weight.shape) == (320, 15, 3, 3)
    assert size(hand.mask_head) == head
    assert size(hand) == SD15_UNET + 11 * 320 * 9 + head
    assert size(base) == SD15_UNET
    assert size(controlnet) == SD15_CONTROLNET + 1 * 16 * 9  # the hint's fourth channel
    assert size(vae) == SD15_VAE
    assert size(text) == SD15_TEXT


@pytest.mark.parametrize("factor", [4, 8, 16])
def test_the_mask_head_is_four_transposed_convolutions_and_a_mean(factor: int) -> None:
    head = MaskHead(32, factor)
    layers = [layer for layer in head.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert [(layer.kernel_size, layer.stride) for layer in layers] == [((2, 2), (2, 2))] * 4
    x = feature = torch.randn(2, 32, 3, 5)
    for i, layer in enumerate(layers):  # a 2x2 kernel at stride 2 paints every pixel as a block of its own
        blocks = torch.einsum("bchw,cdij->bdhiwj", x, layer.weight)
        x = blocks.flatten(4, 5).flatten(2, 3) + layer.bias[:, None, None]
        x = x * torch.sigmoid(x) if i < 3 else x
    k = 16 // factor
    expected = x.unflatten(3, (-1, k)).unflatten(2, (-1, k)).mean((3, 5))
    assert head(feature).shape == (2, 1, 3 * factor, 5 * factor)
    torch.testing.assert_close(head(feature), expected, rtol=1e-4, atol=1e-5)


def test_a_mask_head_needs_a_power_of_two() -> None:
    with pytest.raises(ValueError, match="power of two"):
        MaskHead(8, 12)


@torch.no_grad()
def test_the_hand_generator_predicts_what_the_plain_unet_predicts() -> None:
    hand = build_hand_generator(HAND_UNET, 4, 44, 8).eval()
    plain = diffusers.UNet2DConditionModel(**{**HAND_UNET, "in_channels": 48, "out_channels": 4}).eval()
    weights = {**hand.unet.state_dict(), **{f"conv_out.{k}": v for k, v in hand.conv_out.state_dict().items()}}
    plain.load_state_dict(weights)
    sample, step, context = torch.randn(3, 48, 8, 8), torch.tensor([1, 500, 999]), torch.randn(3, 16, 32)
    prediction, feature = hand(sample, step, context)
    torch.testing.assert_close(prediction, plain(sample, step, encoder_hidden_states=context).sample)
    torch.testing.assert_close(prediction, F.conv2d(feature, hand.conv_out.weight, hand.conv_out.bias, padding=1))
    assert hand.mask(feature).shape == (3, 1, 64, 64)


@torch.no_grad()
def test_an_untrained_controlnet_says_nothing() -> None:
    base = build_base_unet(BODY_UNET, 4).eval()
    controlnet = build_controlnet(base, {"conditioning_embedding_out_channels": (8, 8, 8, 8)}, 4).eval()
    sample, step, context = torch.randn(2, 4, 8, 8), torch.tensor([10, 700]), torch.randn(2, 16, 32)
    painted = BodyOutpainter(base, controlnet)(sample, step, context, torch.rand(2, 4, 64, 64))
    torch.testing.assert_close(painted, base(sample, step, encoder_hidden_states=context).sample)


@torch.no_grad()
def test_strength_zero_leaves_the_base_alone_row_by_row() -> None:
    body = tiny_model().body
    sample, step, context = torch.randn(2, 4, 8, 8), torch.tensor([10, 700]), torch.randn(2, 16, 32)
    hint = torch.rand(2, 4, 64, 64)
    alone = body.unet(sample, step, encoder_hidden_states=context).sample
    guided = body(sample, step, context, hint)
    mixed = body(sample, step, context, hint, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(mixed, torch.stack([alone[0], guided[1]]))
    assert (guided - alone).abs().max() > 1e-3


@pytest.mark.parametrize("name", AUTOENCODERS)
@torch.no_grad()
def test_every_autoencoder_halves_three_times_and_comes_back(name: str) -> None:
    model = build_autoencoder({"class": name, "latent_channels": 4, **AUTOENCODERS[name]}).eval()
    image = torch.rand(2, 3, 32, 48) * 2 - 1
    latent = model.encode(image)
    assert latent.shape == (2, 4, 4, 6)
    assert model.decode(latent).shape == image.shape
    torch.testing.assert_close(model.encode(image), latent, rtol=0, atol=0)  # the mode, never a sample
    if name == "AutoencoderKL":
        torch.testing.assert_close(latent, model.model.encode(image).latent_dist.mean)


def test_an_unknown_autoencoder_is_named() -> None:
    with pytest.raises(ValueError, match="AutoencoderKL, AutoencoderDC, AutoencoderTiny, got 'VQModel'"):
        build_autoencoder({"class": "VQModel"})


def test_latent_statistics_are_numpys() -> None:
    latents = torch.randn(7, 4, 5, 6) * torch.tensor([1.0, 2, 3, 4])[:, None, None] + 5
    mean, std = latent_statistics(latents)
    np.testing.assert_allclose(mean, latents.numpy().mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(std, latents.numpy().std((0, 2, 3), ddof=1), rtol=1e-5)


def test_the_tokenizer_spells_any_text_and_forgets_case() -> None:
    tokenizer = train_tokenizer(CAPTIONS, 300)
    assert tokenizer.token_to_id("<|startoftext|>") == 0 and tokenizer.token_to_id("<|endoftext|>") == 1
    assert tokenizer.encode("A Red SHIRT").ids == tokenizer.encode("a red shirt").ids
    for text in (*CAPTIONS, "naïve café, 手"):
        assert tokenizer.decode(tokenizer.encode(text).ids).strip() == text


@torch.no_grad()
def test_a_saved_model_comes_back_and_its_folders_are_plain_diffusers(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path)
    again = load_model(tmp_path)
    for name, network in model.networks().items():
        before, after = network.state_dict(), again.networks()[name].state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[k], after[k]) for k in before)
    assert again.settings == model.settings and again.training == model.training
    unet = diffusers.UNet2DConditionModel.from_pretrained(tmp_path / "hand_unet")
    assert torch.equal(unet.conv_out.weight, model.hand.conv_out.weight)


def test_a_folder_that_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a trained model \(no settings.json\)"):
        load_model(tmp_path)
    save_tiny_model(tmp_path)
    (tmp_path / "mask_head" / "mask_head.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match="cannot read the model") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)
    config = json.loads((tmp_path / "vae" / "config.json").read_text())
    (tmp_path / "vae" / "config.json").write_text(json.dumps({**config, "_class_name": "os.system"}))
    with pytest.raises(UserError, match=r"class 'os\.system' is not one of"):
        load_model(tmp_path)
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_text())
    hostile = {**tokenizer, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AA=="}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(hostile))
    with pytest.raises(UserError, match="cannot read the model: normalizer"):
        load_model(tmp_path)
