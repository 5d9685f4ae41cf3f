"""Names of layers in LoRA files: every one of a full-size UNet, without its weights."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from support.lora_files import KINDS, layers, sgm

from handfirst.training.models.lora_names import layers_by_name, original_blocks, spoken


def full_unet() -> UNet2DConditionModel:
    with torch.device("meta"):
        return UNet2DConditionModel(cross_attention_dim=768)


def test_every_name_of_a_full_size_unet_is_known() -> None:
    unet = full_unet()
    found = layers(unet)
    assert len(found) == sum(KINDS.values()) == 278
    for end, count in KINDS.items():
        assert len(layers(unet, (end,))) == count
    known, blocks = layers_by_name(unet, "unet"), original_blocks(unet)
    for name in found:
        flat = name.replace(".", "_")
        forms = [f"lora_unet_{flat}", f"unet.{name}", f"base_model.model.{name}", f"base_model.model.unet.{name}", name]
        forms.append(f"lora_unet_{sgm(blocks, name).replace('.', '_')}")
        if ".attn" in name:
            head, last = name.removesuffix(".0").rsplit(".", 1)
            forms.append(f"unet.{head}.processor.{last}")
        assert {known[spoken(form)[1]] for form in forms} == {name}
        assert {spoken(form)[0] for form in forms} == {"unet"}


def test_the_original_names_are_those_that_diffusers_converts() -> None:
    """An independent reader: diffusers renames a checkpoint of CompVis' names."""
    unet = full_unet()
    weights = {name for name, _ in unet.named_parameters()}
    every = {name.removesuffix(".weight") for name in weights if name.endswith(".weight")}
    blocks = original_blocks(unet)
    norms = {"norm1": "in_layers.0", "norm2": "out_layers.0", "conv_norm_out": "out.0"}
    original = {}
    for name in every:
        if name.endswith((".norm1", ".norm2")) and ".resnets." in name:
            block, last = name.rsplit(".", 1)
            original[f"{blocks[block]}.{norms[last]}"] = name
        elif name in norms:
            original[norms[name]] = name
        else:
            original[sgm(blocks, name)] = name
    numbered = dict(enumerate(original))
    given = {f"model.diffusion_model.{numbered[i]}.{k}": torch.tensor(i) for i in numbered for k in ("weight", "bias")}
    found = convert_ldm_unet_checkpoint(given, config=dict(unet.config))
    converted = {name: number for name, number in found.items() if name.endswith(".weight")}
    assert {name.removesuffix(".weight") for name in converted} == every
    for name, number in converted.items():
        assert original[numbered[int(number)]] == name.removesuffix(".weight")
