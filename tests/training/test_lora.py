"""LoRA files under every naming: merged as diffusers and peft merge them."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from support.lora_files import KINDS, RANK, TEXT, factors, layers, text_path, tiny_text, tiny_unet, written
from torch import Tensor

from handfirst.engines.errors import UserError
from handfirst.training.models.lora import LoraFile, fitted, merge, narrow, read_lora


def diffusers_merge(file: Path, unet: UNet2DConditionModel, weight: float) -> dict[str, Tensor]:
    """What diffusers makes of the file: loaded, fused, unloaded."""
    loader = StableDiffusionLoraLoaderMixin
    state, alphas = loader.lora_state_dict(str(file), unet_config=unet.config)
    loader.load_lora_into_unet(state, alphas, unet, adapter_name="one")
    unet.fuse_lora(lora_scale=weight)
    unet.unload_lora()
    return unet.state_dict()


@pytest.mark.parametrize("naming", ["kohya", "sgm", "peft"])
def test_a_unet_is_merged_as_diffusers_merges_it(naming: str, tmp_path: Path) -> None:
    unet, file = tiny_unet(), tmp_path / "a.safetensors"
    save_file(written(naming, unet), file)
    theirs = diffusers_merge(file, copy.deepcopy(unet), 0.7)
    if naming == "sgm":  # diffusers 0.42 seeks this layer in an attention block, where SDXL has it, and leaves it out
        save_file(written("kohya", unet), tmp_path / "kohya.safetensors")
        same = diffusers_merge(tmp_path / "kohya.safetensors", copy.deepcopy(unet), 0.7)
        theirs["up_blocks.0.upsamplers.0.conv.weight"] = same["up_blocks.0.upsamplers.0.conv.weight"]
    before = copy.deepcopy(unet.state_dict())
    merge(unet, "unet", (LoraFile(file, 0.7),))
    ours = unet.state_dict()
    assert ours.keys() == theirs.keys()
    changed = 0
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-5, atol=1e-5)
        changed += not torch.equal(value, before[name])
    assert changed == len(layers(unet))


def test_each_layer_has_its_own_alpha(tmp_path: Path) -> None:
    """kohya's scale is alpha / rank: the same file with that in its factors, and alphas that say 1, gives the same."""
    made, plain = written("kohya", tiny_unet()), {}
    for i, name in enumerate(name for name in made if name.endswith(".alpha")):
        head, alpha = name.removesuffix(".alpha"), 0.5 + i % 5
        made[name] = torch.tensor(alpha)
        up, down = (made[f"{head}.lora_{side}.weight"] for side in ("up", "down"))
        plain |= {f"{head}.lora_up.weight": up * (alpha / RANK), f"{head}.lora_down.weight": down}
    save_file(made, tmp_path / "a.safetensors")
    save_file(plain, tmp_path / "b.safetensors")
    one, other = tiny_unet(), tiny_unet()
    merge(one, "unet", (LoraFile(tmp_path / "a.safetensors"),))
    merge(other, "unet", (LoraFile(tmp_path / "b.safetensors"),))
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], rtol=1e-5, atol=1e-5)


def test_old_names_mean_the_same(tmp_path: Path) -> None:
    """diffusers' attention processors of 2023: the same factors under kohya's names give the same weights."""
    unet, text = tiny_unet(), tiny_text()
    random = torch.Generator().manual_seed(3)
    old, kohya = {}, {}
    for name, weight in layers(unet, ("to_q", "to_k", "to_v", "to_out.0")).items():
        down, up = factors(weight, random)
        head, last = name.removesuffix(".0").rsplit(".", 1)
        old |= {f"unet.{head}.processor.{last}_lora.{k}.weight": v for k, v in (("down", down), ("up", up))}
        flat = name.replace(".", "_")
        kohya |= {f"lora_unet_{flat}.lora_{k}.weight": v for k, v in (("down", down), ("up", up))}
    said = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
    for name, weight in layers(text, TEXT[:4]).items():
        down, up = factors(weight, random)
        head, last = text_path(name).rsplit(".", 1)
        old |= {f"text_encoder.{head}.{said[last]}_lora.{k}.weight": v for k, v in (("down", down), ("up", up))}
        flat = text_path(name).replace(".", "_")
        kohya |= {f"lora_te_{flat}.lora_{k}.weight": v for k, v in (("down", down), ("up", up))}
    save_file(old, tmp_path / "old.safetensors")
    save_file(kohya, tmp_path / "kohya.safetensors")
    for make, target in ((tiny_unet, "unet"), (tiny_text, "text")):
        pair = make(), make()
        for network, file in zip(pair, ("old", "kohya"), strict=True):
            merge(network, target, (LoraFile(tmp_path / f"{file}.safetensors"),))  # type: ignore[arg-type]
        for name, value in pair[0].state_dict().items():
            assert torch.equal(value, pair[1].state_dict()[name])
        assert not all(torch.equal(v, make().state_dict()[k]) for k, v in pair[0].state_dict().items())


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"alpha_pattern": {"conv1": 1, "attn2.to_k": 7}}])
@pytest.mark.parametrize("kind", ["unet", "text"])
def test_a_folder_of_peft_is_merged_as_peft_merges_it(kind: str, options: dict[str, object], tmp_path: Path) -> None:
    make, ends = (tiny_unet, tuple(KINDS)) if kind == "unet" else (tiny_text, TEXT)
    base = make()
    config = LoraConfig(r=RANK, lora_alpha=5, target_modules=list(layers(base, ends)), **options)  # type: ignore[arg-type]
    adapted = get_peft_model(copy.deepcopy(base), config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    adapted.save_pretrained(str(tmp_path))
    theirs = adapted.merge_and_unload().state_dict()
    merge(base, kind, (LoraFile(tmp_path / "adapter_model.safetensors"),))  # type: ignore[arg-type]
    for name, value in base.state_dict().items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-5, atol=1e-5)
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(UserError, match=r"expected adapter_config.json beside it"):
        merge(make(), kind, (LoraFile(tmp_path / "adapter_model.safetensors"),))  # type: ignore[arg-type]


def test_the_alphas_that_diffusers_writes_into_its_files_are_read(tmp_path: Path) -> None:
    unet, said = tiny_unet(), {"unet.lora_alpha": 6, "unet.r": RANK}
    factors_ = written("peft", unet)
    save_file(factors_, tmp_path / "a.safetensors", {"lora_adapter_metadata": json.dumps(said)})
    save_file(factors_, tmp_path / "b.safetensors")
    one, other = tiny_unet(), tiny_unet()
    merge(one, "unet", (LoraFile(tmp_path / "a.safetensors"),))
    merge(other, "unet", (LoraFile(tmp_path / "b.safetensors", 3.0),))  # 6 / 2 in place of 1
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name])


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (("lora_unet_mid_block_resnets_0_conv1.dora_scale",), "got DoRA"),
        (("unet.mid_block.resnets.0.conv1.lora_magnitude_vector",), "got DoRA"),
        (("lora_unet_mid_block_resnets_0_conv1.hada_w1_a",), "got lora_unet_mid_block_resnets_0_conv1.hada_w1_a"),
        (("lora_unet_mid_block_resnets_0_conv1.lora_mid.weight",), "lora_mid"),
        (("lora_unet_mid_block_resnets_0_conv1.lora_down.weight",), "got lora_unet_mid_block_resnets_0_conv1"),
        ((), "got nothing"),
        (
            ("lora_unet_conv_nowhere.lora_down.weight", "lora_unet_conv_nowhere.lora_up.weight"),
            "got lora_unet_conv_nowhere",
        ),
        (
            ("lora_unet_conv_in.lora_down.weight", "lora_unet_conv_in.lora_up.weight"),
            r"expected factors of \[8, 4, 3, 3\]",
        ),
        (
            ("unet.mid_block.resnets.0.conv1.lora_A.weight", "unet.mid_block.resnets.0.conv1.lora_B.weight",
             "lora_unet_mid_block_resnets_0_conv1.lora_down.weight",
             "lora_unet_mid_block_resnets_0_conv1.lora_up.weight"),
            "under two names",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_merged_is_refused_by_its_name(names: tuple[str, ...], what: str, tmp_path: Path) -> None:
    save_file({name: torch.zeros(2, 2) for name in names}, tmp_path / "a.safetensors")
    unet = tiny_unet()
    before = copy.deepcopy(unet.state_dict())
    with pytest.raises(UserError, match=what):
        merge(unet, "unet", (LoraFile(tmp_path / "a.safetensors"),))
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (((2,), (8, 2), ()), r"expected factors \[rank, in\] and \[out, rank\], got \[2\] and \[8, 2\]"),
        (((0, 4), (8, 0), ()), r"got \[0, 4\] and \[8, 0\]"),
        (((2, 4), (8, 2), (3,)), r"alpha: expected one number, got \[3\]"),
    ],
)
def test_factors_of_impossible_shapes_are_one_line(
    shapes: tuple[tuple[int, ...], ...], said: str, tmp_path: Path
) -> None:
    names = (f"lora_unet_conv_in.{each}" for each in ("lora_down.weight", "lora_up.weight", "alpha"))
    save_file({name: torch.zeros(shape) for name, shape in zip(names, shapes, strict=True)}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=said):
        read_lora(tmp_path / "a.safetensors")


def test_a_file_for_four_channels_changes_the_first_four(tmp_path: Path) -> None:
    """The hand UNet has its key-point channels behind the latents'."""
    wide, down, up = tiny_unet(15), torch.randn(RANK, 4, 3, 3), torch.randn(8, RANK, 1, 1)
    file = LoraFile(tmp_path / "a.safetensors")
    save_file({"unet.conv_in.lora_A.weight": down, "unet.conv_in.lora_B.weight": up}, file.path)
    before = wide.conv_in.weight.detach().clone()
    merge(wide, "unet", (file,))
    change = wide.conv_in.weight.detach() - before
    torch.testing.assert_close(change[:, :4], torch.einsum("or,rihw->oihw", up[..., 0, 0], down), atol=1e-6, rtol=1e-5)
    assert not change[:, 4:].any()
    assert list(narrow(wide, "unet", file)) == ["conv_in"] and not list(narrow(tiny_unet(), "unet", file))
    assert len(fitted(wide, "unet", file)) == 1


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [("a.safetensors", "a.safetensors", 1), ("a:-0.5", "a", -0.5), ("c:/x:0.8", "c:/x", 0.8)],
)
def test_a_file_and_its_weight(text: str, path: str, weight: float) -> None:
    assert LoraFile.read(text) == LoraFile(Path(path), weight)


@pytest.mark.parametrize("text", ["a:b", "a:nan", "a:11", "a:"])
def test_a_weight_that_makes_no_sense(text: str) -> None:
    with pytest.raises(UserError, match="--lora"):
        LoraFile.read(text)
