"""What people give by mistake, and what attackers give, where a checkpoint is expected: one line each, exit code 2, and
nothing left behind."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.original_layout import (
    networks,
    original_checkpoint,
    original_controlnet,
    write_folder,
    write_tokenizer,
)

from handfirst.engines.errors import UserError
from handfirst.runtime.cli.main import main
from handfirst.training.pretrained.stable_diffusion import Given, read_stable_diffusion, read_vae
from handfirst.training.pretrained.start import read_controlnet

Weights = dict[str, torch.Tensor]
UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
SCALAR, NOTHING = torch.tensor(1.0), torch.empty(0, 1 << 30)


@pytest.fixture(scope="module")
def weights() -> Weights:
    return original_checkpoint(*networks()[:3])


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def without(weights: Weights, prefix: str) -> Weights:
    return {name: value for name, value in weights.items() if not name.startswith(prefix)}


def only(weights: Weights, prefix: str) -> Weights:
    """Of this part, as people save it alone: without the prefix."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def named(*names: str) -> Callable[[Weights], Weights]:
    return lambda _: {name: torch.zeros(2, 2) for name in names}


def put(name: str, value: torch.Tensor) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, name: value}


ADAPTER = "a LoRA or another adapter"
LAYERS = f"{TEXT}text_model.encoder.layers."
MISTAKES: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "LoRA of kohya": (named("lora_unet_down_blocks_0.lora_down.weight", "lora_te_x.alpha"), ADAPTER),
    "LoRA of peft": (named("base_model.model.to_q.lora_A.weight"), ADAPTER),
    "LoRA of diffusers": (named("unet.mid_block.to_q.lora.down.weight"), ADAPTER),
    "LyCORIS": (named("lora_unet_mid.hada_w1_a"), ADAPTER),
    "textual inversion": (named("emb_params"), "a textual inversion"),
    "motion module": (named("down_blocks.0.motion_modules.0.x"), "a motion module"),
    "IP-Adapter": (named("image_proj.norm.weight", "ip_adapter.1.to_k_ip.weight"), "an IP-Adapter"),
    "SDXL": (named(f"{UNET}x", "conditioner.embedders.0.transformer.text_model.x"), "an SDXL checkpoint"),
    "2.x": (named(f"{UNET}x", "cond_stage_model.model.transformer.resblocks.0.x"), r"a 2\.x checkpoint"),
    "SD3": (named(f"{UNET}joint_blocks.0.x"), "a Stable Diffusion 3 checkpoint"),
    "FLUX": (named("double_blocks.0.img_attn.qkv.weight"), "a FLUX checkpoint"),
    "ControlNet": (lambda _: original_controlnet(networks()[3]), "a ControlNet; .* --controlnet"),
    "converted ControlNet": (lambda _: dict(networks()[3].state_dict()), "a ControlNet; .* --controlnet"),
    "autoencoder": (lambda w: only(w, VAE), "an autoencoder alone; .* --vae"),
    "converted autoencoder": (lambda _: dict(networks()[1].state_dict()), "an autoencoder alone; .* --vae"),
    "converted UNet": (lambda _: dict(networks()[0].state_dict()), "a UNet alone"),
    "UNet": (lambda w: only(w, UNET), "a UNet alone"),
    "text encoder": (lambda w: only(w, TEXT), "a text encoder alone"),
    "upscaler": (named("params_ema.conv_first.weight"), "an upscaler"),
    "no tensor": (lambda _: {}, "a file without any tensor"),
    "something": (named("fc.weight"), r"1 tensors of no known network .fc\.weight"),
    "inpainting": (put(f"{UNET}input_blocks.0.0.weight", torch.zeros(32, 9, 3, 3)), "got 9 .an inpainting checkpoint"),
    "instruct-pix2pix": (put(f"{UNET}input_blocks.0.0.weight", torch.zeros(32, 8, 3, 3)), "got 8 .an instruct-pix2pix"),
    "no autoencoder": (lambda w: without(w, VAE), "one without an autoencoder; give one with --vae"),
    "no text encoder": (lambda w: without(w, TEXT), "its UNet or text encoder is missing"),
    "scalar for the first layer": (put(f"{UNET}input_blocks.0.0.weight", SCALAR), r"weight has shape \(\)"),
    "scalar for a width": (put(f"{UNET}input_blocks.4.0.in_layers.2.weight", SCALAR), r"has shape \(\)"),
    "matrix for a bias": (put(f"{UNET}out.2.bias", torch.zeros(4, 1)), r"expected \(4,\), got \(4, 1\)"),
    "scalar for words": (put(f"{TEXT}text_model.embeddings.token_embedding.weight", SCALAR), r"has shape \(\)"),
    "endless width": (put(f"{UNET}input_blocks.1.0.in_layers.2.weight", torch.empty(1 << 24, 0)), "has shape"),
    "wide and empty": (put(f"{UNET}input_blocks.1.0.in_layers.2.weight", torch.empty(1 << 20, 0, 3, 3)), "it needs"),
    "wide latents": (put(f"{VAE}post_quant_conv.weight", torch.empty(1 << 20, 0)), "it needs"),
    "a million layers": (put(f"{LAYERS}1000000.mlp.fc1.weight", SCALAR), "no layer that follows"),
    "a layer of words": (put(f"{LAYERS}last.mlp.fc1.weight", SCALAR), "no layer that follows"),
    "endless vocabulary": (put(f"{TEXT}text_model.embeddings.token_embedding.weight", NOTHING), "has shape"),
    "a gap": (lambda w: without(w, f"{LAYERS}0"), "not a whole Stable Diffusion"),
    "complex": (put(f"{UNET}out.2.bias", torch.zeros(4, dtype=torch.complex64)), "complex64"),
    "many names": (lambda w: {**w, **{f"{UNET}x{i}": SCALAR.clone() for i in range(6000)}}, "tensors for one"),
    "another width of text": (
        put(f"{UNET}middle_block.1.transformer_blocks.0.attn2.to_k.weight", torch.zeros(64, 32)), "expected"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_each_is_named(name: str, weights: Weights, tokenizer: Path, tmp_path: Path) -> None:
    make, said = MISTAKES[name]
    save_file({key: value.contiguous() for key, value in make(weights).items()}, tmp_path / "x.safetensors")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=said) as caught:
        read_stable_diffusion(tmp_path / "x.safetensors", tokenizer)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{tmp_path}/x.safetensors: ")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20, "more than a GiB for a refusal"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda w: w, "a whole checkpoint; give its ControlNet"),
        (named("lora_unet_x.lora_down.weight"), ADAPTER),
        (lambda w: only(w, VAE), "an autoencoder alone"),
        (lambda _: {**original_controlnet(networks()[3]), "control_model.input_hint_block.0.weight": SCALAR}, "shape"),
        (lambda _: {"control_model.input_hint_block.0.weight": SCALAR}, "not a ControlNet"),
        (lambda _: {**networks()[3].state_dict(), "controlnet_cond_embedding.blocks.99.weight": SCALAR}, "no layer"),
        (lambda _: {"controlnet_cond_embedding.conv_in.weight": torch.zeros(8, 3, 3, 3)}, r"no .*blocks\.0"),
    ],
)
def test_each_is_named_where_a_controlnet_is_expected(
    make: Callable[[Weights], Weights], said: str, weights: Weights, tmp_path: Path
) -> None:
    save_file({key: value.contiguous() for key, value in make(weights).items()}, tmp_path / "x")
    with pytest.raises(UserError, match=said) as caught:
        read_controlnet(tmp_path / "x")
    assert "\n" not in str(caught.value)


def test_novelais_names(weights: Weights, tokenizer: Path, tmp_path: Path) -> None:
    other = {name.replace(f"{TEXT}text_model.", TEXT): value for name, value in weights.items()}
    torch.save({"state_dict": other}, tmp_path / "model.ckpt")
    found = read_stable_diffusion(tmp_path / "model.ckpt", tokenizer).text_encoder.state_dict()
    truth = networks()[2].state_dict()
    assert found.keys() == truth.keys() and all(torch.equal(found[name], truth[name]) for name in truth)


@pytest.mark.parametrize("kind", ["folder", "pipeline", "original", "converted", "whole", "lightning"])
def test_an_autoencoder_from_elsewhere(kind: str, weights: Weights, tokenizer: Path, tmp_path: Path) -> None:
    save_file(without(weights, VAE), tmp_path / "pruned.safetensors")
    vae, place = networks(seed=1)[1], tmp_path / "vae"
    original = only(original_checkpoint(networks()[0], vae, networks()[2]), VAE)
    if kind == "folder":
        vae.save_pretrained(place)
    elif kind == "pipeline":
        write_folder(place, seed=1)
    elif kind == "original":
        save_file(original, place)
    elif kind == "converted":
        old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}  # as before diffusers 0.15
        state = vae.state_dict()
        for new, name in old.items():
            state = {key.replace(f"attentions.0.{new}.", f"attentions.0.{name}."): v for key, v in state.items()}
        save_file(state, place)
    elif kind == "whole":
        save_file({f"{VAE}{name}": value for name, value in original.items()}, place)
    else:
        torch.save({"state_dict": {**original, "loss.logvar": SCALAR}, "epoch": 1}, place)
    found = read_stable_diffusion(tmp_path / "pruned.safetensors", tokenizer, Given(vae=place)).vae.state_dict()
    assert found.keys() == vae.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in vae.state_dict().items())


def test_what_is_no_autoencoder(weights: Weights, tmp_path: Path) -> None:
    save_file(without(weights, VAE), tmp_path / "pruned")
    with pytest.raises(UserError, match="expected an autoencoder of Stable Diffusion"):
        read_vae(tmp_path / "pruned")
    save_file({f"{VAE}encoder.conv_in.weight": SCALAR}, tmp_path / "torn")
    with pytest.raises(UserError, match=r"not an autoencoder of Stable Diffusion 1.x .*is missing"):
        read_vae(tmp_path / "torn")


def test_the_command_leaves_nothing_behind(
    weights: Weights, tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "in" / "Model.SAFETENSORS"
    file.parent.mkdir()
    arguments = ["init", str(file), str(tmp_path / "model"), "--tokenizer", str(tokenizer), "--size", "64"]
    for content, said in (
        (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"", "an empty file"),
    ):
        file.write_bytes(content)
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(2)}, file)
    assert main(arguments) == 2 and "a LoRA" in capsys.readouterr().err
    save_file(weights, file)
    for more, said in (
        (["--clip-skip", "3"], "cannot leave out 2 of the text encoder's 2 layers"),
        (["--prediction", "noise"], "'epsilon', 'v_prediction', 'sample'"),
        (["--vae", str(tokenizer)], "expected a diffusers folder with config.json"),
        (["--size", "4096"], "2048 pixels at most, got 4096"),
    ):
        assert main([*arguments, *more]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    assert main([*arguments, "--prediction", "v_prediction", "--clip-skip", "2"]) == 0
    said = capsys.readouterr()
    assert "predicts v_prediction" in said.out and "clip skip 2" in said.err
    assert '"prediction": "v_prediction"' in (tmp_path / "model" / "settings.json").read_text()
