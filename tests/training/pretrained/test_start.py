"""An untrained pair draws what its checkpoint draws: new channels that begin at zero change nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel, DDIMScheduler
from safetensors.torch import save_file
from support.original_layout import networks, original_controlnet, write_folder

from handfirst.engines.errors import UserError
from handfirst.runtime.cli.main import main
from handfirst.runtime.systems.two_stage.settings import MaskHeadSettings
from handfirst.training.models.encoders import denormalise
from handfirst.training.pretrained.stable_diffusion import StableDiffusion, read_stable_diffusion
from handfirst.training.pretrained.start import read_controlnet, untrained_pair, widen_hint
from handfirst.training.systems.two_stage.model_folder import load_model
from handfirst.training.systems.two_stage.sampling import sample_hands

SIZE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("sd"))


@pytest.fixture
def base(folder: Path) -> StableDiffusion:
    return read_stable_diffusion(folder)


@torch.no_grad()
def test_with_zero_channels_the_hand_generators_picture_is_the_checkpoints(base: StableDiffusion) -> None:
    unet, vae, _, _ = networks()
    model = untrained_pair(base, new_channels="zero", size=SIZE)
    c_p, context, empty = torch.rand(2, 11, 8, 8), torch.randn(2, 77, 64), torch.randn(77, 64)
    x_0, mask = sample_hands(model.hand, c_p, context, empty, model.settings, steps=5, guidance=2.0, seed=3)
    drawn = model.autoencoder.decode(denormalise(x_0, model.settings.latent))

    schedule = DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
        set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    schedule.set_timesteps(5)
    x_t = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(3))
    for t in schedule.timesteps:
        both = torch.cat([empty.expand_as(context), context])
        u, c = unet(torch.cat([x_t, x_t]), t, encoder_hidden_states=both).sample.chunk(2)
        x_t = schedule.step(u + 2 * (c - u), t, x_t).prev_sample  # more guidance would enlarge rounding errors
    expected = vae.decode(x_t / 0.18215).sample
    torch.testing.assert_close(drawn, expected, rtol=1e-3, atol=1e-3)
    assert mask.shape == (2, 1, SIZE, SIZE)


def test_random_channels_are_the_papers_and_repeat_by_seed(base: StableDiffusion) -> None:
    unet = networks()[0]
    first, again, other = (untrained_pair(base, size=SIZE, seed=seed).hand.unet.conv_in for seed in (0, 0, 1))
    assert torch.equal(first.weight, again.weight) and not torch.equal(first.weight, other.weight)
    assert torch.equal(first.weight[:, :4], unet.conv_in.weight) and torch.equal(first.bias, unet.conv_in.bias)
    assert first.weight[:, 4:].std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("kind", ["folder", "original file", "converted file", "half ckpt"])
@torch.no_grad()
def test_a_skeletons_controlnet_answers_as_before_whatever_the_new_channel_says(kind: str, tmp_path: Path) -> None:
    truth = networks()[3]
    if kind == "half ckpt":
        truth.half().float()  # so that nothing is lost in the file
    path = tmp_path / ("control" if kind == "folder" else "control.safetensors")
    if kind == "folder":
        truth.save_pretrained(path)
    elif kind == "converted file":
        save_file(truth.state_dict(), path)
    elif kind == "original file":
        save_file(original_controlnet(truth), path)
    else:
        path = tmp_path / "control.pth"
        torch.save({k: v.half() for k, v in original_controlnet(truth).items()}, path)
    wide = widen_hint(read_controlnet(path), 4)
    assert wide.config.conditioning_channels == 4 and isinstance(wide, ControlNetModel)
    sample, step, context = torch.randn(2, 4, 8, 8), torch.tensor([10, 700]), torch.randn(2, 77, 64)
    hint = torch.rand(2, 4, 64, 64)
    expected, got = (
        net(sample, step, encoder_hidden_states=context, controlnet_cond=h, return_dict=False)
        for net, h in ((truth, hint[:, :3]), (wide, hint))
    )
    for a, b in zip((*expected[0], expected[1]), (*got[0], got[1]), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-5)
    assert max(float(a.abs().max()) for a in expected[0]) > 1e-2


def test_what_does_not_fit_is_said(base: StableDiffusion, tmp_path: Path) -> None:
    for size in (0, 100):
        with pytest.raises(UserError, match=f"multiples of 64 pixels, got {size}"):
            untrained_pair(base, size=size)
    other = ControlNetModel(
        block_out_channels=(32, 32), down_block_types=("DownBlock2D",) * 2, cross_attention_dim=64, norm_num_groups=32
    )
    with pytest.raises(UserError, match=r"does not fit the checkpoint: block_out_channels .* got .32, 32"):
        untrained_pair(base, other, size=SIZE)
    with pytest.raises(UserError, match="3 or 4 channels, got 5"):
        widen_hint(
            ControlNetModel(conditioning_channels=5, block_out_channels=(32,), down_block_types=("DownBlock2D",)), 4
        )
    save_file({"weight": torch.zeros(1)}, tmp_path / "odd.safetensors")
    with pytest.raises(UserError, match="not a ControlNet"):
        read_controlnet(tmp_path / "odd.safetensors")


def test_the_command_takes_a_mask_head(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["init", str(folder), str(tmp_path / "up"), "--size", "64", "--mask-source", "up_block"]
    assert main(arguments) == 0
    model = load_model(tmp_path / "up")
    assert model.settings.hand.mask_head == MaskHeadSettings(source="up_block", layers=4)
    given = torch.randn(1, 15, 8, 8), torch.tensor([5]), torch.randn(1, 77, 64)
    with torch.no_grad():
        feature = model.hand(*given)[1]
    assert feature.shape == (1, 64, 4, 4) and model.hand.mask(feature).shape == (1, 1, 64, 64)
    assert main(["init", str(folder), str(tmp_path / "three"), "--size", "64", "--mask-layers", "3"]) == 0
    assert len(load_model(tmp_path / "three").hand.mask_head.layers) == 5
    capsys.readouterr()
    arguments[2] = str(tmp_path / "both")
    assert main([*arguments, "--mask-layers", "3"]) == 2
    said = capsys.readouterr().err
    assert "3 layers on the feature 'up_block' give 4 pixels" in said and said.count("\n") == 1
    assert not (tmp_path / "both").exists()


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    networks()[3].save_pretrained(tmp_path / "control")
    out = tmp_path / "model"
    arguments = ["init", str(folder), str(out), "--controlnet", str(tmp_path / "control"), "--size", "64"]
    assert main([*arguments, "--new-channels", "zero"]) == 0
    assert "15 input channels" in capsys.readouterr().out
    model = load_model(out)
    assert model.settings.body.width == 64 and model.settings.hand.condition.grid == 8
    assert not model.hand.unet.conv_in.weight[:, 4:].any()
    assert model.body.controlnet.config.conditioning_channels == 4
    assert json.loads((out / "training.json").read_text()) == {"note": "untrained"}
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["init", str(tmp_path / "none"), str(tmp_path / "b")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and sorted(p.name for p in tmp_path.iterdir()) == ["control", "model"]
