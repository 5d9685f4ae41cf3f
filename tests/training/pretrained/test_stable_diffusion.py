"""Stable Diffusion 1.x in every form in which it lies on disks: the same networks come out of all of them."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.original_layout import networks, original_checkpoint, write_folder, write_tokenizer
from torch import nn

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import LatentSettings, ScheduleSettings, TextSettings
from handfirst.training.pretrained import original
from handfirst.training.pretrained.stable_diffusion import StableDiffusion, read_stable_diffusion
from handfirst.training.systems.two_stage.config import load_config


@pytest.fixture(scope="module")
def truth() -> dict[str, nn.Module]:
    unet, vae, text, _ = networks()
    return {"unet": unet, "vae": vae, "text_encoder": text}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def weights(truth: dict[str, nn.Module]) -> dict[str, torch.Tensor]:
    return original_checkpoint(truth["unet"], truth["vae"], truth["text_encoder"])


def same(found: StableDiffusion, truth: dict[str, nn.Module], tolerance: float = 0.0) -> None:
    for name, network in truth.items():
        got, expected = getattr(found, name).state_dict(), network.state_dict()
        assert got.keys() == expected.keys()
        for key, value in expected.items():
            assert got[key].dtype == value.dtype
            torch.testing.assert_close(got[key], value, rtol=0, atol=tolerance)
        assert not getattr(found, name).training


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({}, 0),
        ({"safe_serialization": False}, 0),
        ({"max_shard_size": "500KB"}, 0),
        ({"variant": "fp16"}, 0),
        ({"variant": "fp16", "max_shard_size": "500KB"}, 0),
        ({"variant": "fp16", "safe_serialization": False}, 0),
    ],
    ids=["plain", "bin", "sharded", "variant", "sharded variant", "bin variant"],
)
def test_folders(options: dict[str, object], tolerance: float, truth: dict[str, nn.Module], tmp_path: Path) -> None:
    found = read_stable_diffusion(write_folder(tmp_path, **options))
    same(found, truth, tolerance)
    assert found.schedule == ScheduleSettings()
    assert found.latent.model_copy(update={"preview": ()}) == LatentSettings(mean=(0.0,) * 4, std=(1 / 0.18215,) * 4)
    # A scaled latent of 1 in the fourth channel is mostly the absence of blue.
    np.testing.assert_allclose(np.array(found.latent.preview)[:, 3] / 0.18215, [-0.2120, -0.2616, -0.7177])
    assert found.text == TextSettings(length=77, width=64, begin=300, end=301, pad=301)


@pytest.mark.parametrize("kind", ["safetensors", "ckpt", "ckpt with a state_dict", "half"])
def test_single_files(
    kind: str, truth: dict[str, nn.Module], weights: dict[str, torch.Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"model.{'safetensors' if kind in ('safetensors', 'half') else 'ckpt'}"
    if kind == "safetensors":
        save_file(weights, file)
    elif kind == "half":
        save_file({k: v.half() if v.is_floating_point() else v for k, v in weights.items()}, file)
    else:
        torch.save({"state_dict": weights, "global_step": 7} if "state" in kind else weights, file)
    found = read_stable_diffusion(file, tokenizer)
    same(found, truth, tolerance=2e-3 if kind == "half" else 0)
    assert found.text == TextSettings(length=77, width=64, begin=300, end=301, pad=301)


def test_the_words_are_transformers_own(tokenizer: Path, tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    found = read_stable_diffusion(write_folder(tmp_path)).tokenizer
    theirs = CLIPTokenizer.from_pretrained(str(tokenizer))
    for text in ("a red hand and the thread", "  Hands, 12!  and\nred"):
        assert found.encode(text, add_special_tokens=False).ids == theirs(text, add_special_tokens=False)["input_ids"]


def test_sizes_are_read_off_the_real_thing() -> None:
    """The shapes of Stable Diffusion 1.5 itself, without its numbers."""
    config = load_config("sd15")
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(**config.body_unet)
        vae = diffusers.AutoencoderKL(**{k: v for k, v in config.autoencoder.items() if k != "class"})
        text = networks()[2]
    weights = original_checkpoint(unet, vae, text)
    assert len([k for k in weights if k.startswith("model.diffusion_model.")]) == 686  # as in the published file
    assert len([k for k in weights if k.startswith("first_stage_model.")]) == 248
    inner = {k.removeprefix(original.UNET): v for k, v in weights.items() if k.startswith(original.UNET)}
    found = original._unet_config(inner)
    assert {k: found[k] for k in config.body_unet} == config.body_unet


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(32, 9, 3, 3)}, "got 9 .an inpainting"),
        ({"cond_stage_model.model.token_embedding.weight": torch.zeros(2, 2)}, r"got a 2\.x checkpoint"),
        ({"model.diffusion_model.input_blocks.0.0.weight": None}, "its UNet or text encoder is missing"),
        ({"model.diffusion_model.input_blocks.4.0.in_layers.2.weight": None}, "not a whole Stable Diffusion"),
        ({"first_stage_model.decoder.conv_in.weight": None}, "not a whole Stable Diffusion"),
        ({"cond_stage_model.transformer.text_model.final_layer_norm.bias": None}, "not a whole Stable Diffusion"),
    ],
)
def test_another_or_a_torn_checkpoint_is_named_in_one_line(
    change: dict[str, torch.Tensor | None],
    said: str,
    weights: dict[str, torch.Tensor],
    tokenizer: Path,
    tmp_path: Path,
) -> None:
    altered = {k: v for k, v in {**weights, **change}.items() if v is not None}
    save_file(altered, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=said) as caught:
        read_stable_diffusion(tmp_path / "model.safetensors", tokenizer)
    assert "\n" not in str(caught.value)


def test_a_single_file_needs_a_tokenizer(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="--tokenizer"):
        read_stable_diffusion(tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"expected tokenizer\.json, or vocab\.json and merges\.txt"):
        read_stable_diffusion(tmp_path / "model.safetensors", tmp_path)


class Malicious:
    """Unpickling it would make a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> object:
        return os.system, (f"touch {self.file}",)


def test_a_pickle_is_never_run(tokenizer: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trapped"
    (tmp_path / "model.ckpt").write_bytes(pickle.dumps({"state_dict": Malicious(trap)}))
    with pytest.raises(UserError, match="convert it to"):
        read_stable_diffusion(tmp_path / "model.ckpt", tokenizer)
    torch.save({"weight": torch.zeros(2), "trap": Malicious(trap)}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match="convert it to"):
        read_stable_diffusion(tmp_path / "other.ckpt", tokenizer)
    assert not trap.exists()


def test_files_that_are_no_checkpoint(tokenizer: Path, tmp_path: Path) -> None:
    for name, content, said in (
        ("model.safetensors", b"torn", "damaged or not a checkpoint"),
        ("model.ckpt", b"", "damaged|more than weights"),
        ("model.onnx", b"x", "expected .safetensors or .ckpt"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=said) as caught:
            read_stable_diffusion(tmp_path / name, tokenizer)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no such file"):
        read_stable_diffusion(tmp_path / "missing.safetensors", tokenizer)


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "sd")
    with pytest.raises(UserError, match=r"expected a diffusers folder with model_index\.json"):
        read_stable_diffusion(tmp_path)
    schedule = folder / "scheduler" / "scheduler_config.json"
    schedule.write_text(json.dumps({"beta_schedule": "wavy"}))
    with pytest.raises(UserError, match=r"betas: .*'wavy'"):
        read_stable_diffusion(folder)
    schedule.write_text("{}")
    half = {k: v for k, v in networks()[0].state_dict().items() if "up_blocks" not in k}
    save_file(half, folder / "unet" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(UserError, match=r"unet: \d+ weights are missing, up_blocks"):
        read_stable_diffusion(folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"config\.json has no weights beside it"):
        read_stable_diffusion(folder)
    shutil.rmtree(folder / "unet")
    with pytest.raises(UserError, match=r"expected a diffusers folder with config\.json"):
        read_stable_diffusion(folder)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}))
    with pytest.raises(UserError, match="got StableDiffusionXLPipeline"):
        read_stable_diffusion(folder)
