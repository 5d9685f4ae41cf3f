"""LoRA files of random factors under every naming, and the networks that they change."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from handfirst.training.models.lora_names import original_blocks

RANK = 2
KINDS = {
    "to_q": 32, "to_k": 32, "to_v": 32, "to_out.0": 32, "proj_in": 16, "proj_out": 16, "ff.net.0.proj": 16,
    "ff.net.2": 16, "conv1": 22, "conv2": 22, "time_emb_proj": 22, "conv_shortcut": 14, "downsamplers.0.conv": 3,
    "upsamplers.0.conv": 3,
}  # fmt: skip
"""Layers of SD1.5's UNet that LCM-LoRA and Hyper-SD change, by the end of their names, and how many there are."""
TEXT = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def tiny_unet(channels: int = 4) -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        in_channels=channels, block_out_channels=[8, 8, 16, 16], cross_attention_dim=12, attention_head_dim=2,
        norm_num_groups=4, layers_per_block=1, sample_size=8,
    )  # fmt: skip


def tiny_text() -> CLIPTextModel:
    torch.manual_seed(1)
    config = CLIPTextConfig(
        vocab_size=50, hidden_size=12, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=8,
    )  # fmt: skip
    return CLIPTextModel(config)


def layers(network: nn.Module, ends: tuple[str, ...] = tuple(KINDS)) -> dict[str, Tensor]:
    """Weights of the layers with such names."""
    return {
        name: module.weight
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and name.endswith(tuple(f".{end}" for end in ends))
    }


def factors(weight: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """down and up of a layer."""
    out, into, *kernel = weight.shape
    down = torch.randn(RANK, into, *kernel, generator=generator)
    return down, torch.randn(out, RANK, *(1 for _ in kernel), generator=generator)


def text_path(name: str) -> str:
    return f"text_model.{name.removeprefix('text_model.')}"


def sgm(blocks: dict[str, str], name: str) -> str:
    """A layer's name in kohya's files of SGM naming, from diffusers' own table of resnets and attentions."""
    block = max((b for b in blocks if name == b or name.startswith(f"{b}.")), key=len)
    rest = name[len(block) :].removeprefix(".")
    inner = {"conv1": "in_layers.2", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1"}
    inner["conv_shortcut"] = "skip_connection"
    return f"{blocks[block]}.{inner.get(rest, rest)}".removesuffix(".")


def written(naming: str, unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """A LoRA file of random factors over all layers of a UNet, kohya's with one alpha.

    Where alphas differ, diffusers 0.42 takes the most frequent one for attention layers: it loses their names.
    """
    random, blocks = torch.Generator().manual_seed(5), original_blocks(unet)
    made: dict[str, Tensor] = {}
    for name, weight in layers(unet).items():
        down, up = factors(weight, random)
        if naming == "peft":
            made |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
        else:
            head = f"lora_unet_{(sgm(blocks, name) if naming == 'sgm' else name).replace('.', '_')}"
            made |= {f"{head}.lora_down.weight": down, f"{head}.lora_up.weight": up, f"{head}.alpha": torch.tensor(3.0)}
    return made
