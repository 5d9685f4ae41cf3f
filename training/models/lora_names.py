"""Every name that a LoRA file may give a layer of Stable Diffusion 1.x, with underscores in place of dots.

Sources: diffusers' UNet2DConditionModel, CompVis' UNetModel (SGM's names), transformers' CLIPTextModel; kohya's
sd-scripts, diffusers' attention processors of 2023 and peft write them in their own ways. Knows nothing about weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from torch import nn

from handfirst.engines.errors import UserError

Target = Literal["unet", "text"]

_PREFIXES: tuple[tuple[str, Target | None], ...] = (
    ("lora_unet_", "unet"), ("lora_te1_", "text"), ("lora_te_", "text"), ("base_model.model.", None),
    ("text_encoder.", "text"), ("unet.", "unet"),
)  # fmt: skip
_INNER = {
    "conv1": "in_layers.2", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}  # fmt: skip
"""Of a residual block: diffusers' name, CompVis'."""
_OLD = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
"""Of CLIP's attention: transformers' name, that of diffusers' first LoRA files."""


def spoken(name: str) -> tuple[Target, str]:
    """What a file calls a layer -> the network that it means, and the name to look up."""
    target: Target | None = None
    for prefix, means in _PREFIXES:
        if name.startswith(prefix):
            name, target = name.removeprefix(prefix), means or target
    flat = name.replace(".processor.", ".").replace(".", "_").removeprefix("text_model_")
    return target or ("text" if flat.startswith("encoder_layers_") else "unet"), flat


def layers_by_name(network: nn.Module, target: Target) -> dict[str, str]:
    """Every name of a linear layer or convolution -> the network's own name for it.

    Raises:
        UserError: one name for two layers.
    """
    found: dict[str, str] = {}
    blocks = original_blocks(network) if target == "unet" else {}
    for layer, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            for name in _names(layer, blocks, target):
                if found.setdefault(name, layer) != layer:
                    raise UserError(f"expected one layer of the name {name}, got {found[name]} and {layer}")
    return found


def _names(layer: str, blocks: Mapping[str, str], target: Target) -> set[str]:
    if target == "text":
        own = layer.removeprefix("text_model.")
        head, _, last = own.rpartition(".")
        names = {own, f"{head}.{_OLD[last]}"} if last in _OLD else {own}
    else:
        names = {layer, layer.removesuffix(".0") if layer.endswith(".to_out.0") else layer}
        names |= set(_original(layer, blocks))
    return {name.replace(".", "_") for name in names}


def _original(layer: str, blocks: Mapping[str, str]) -> Iterator[str]:
    """CompVis' name of a UNet's layer; nothing where it has none."""
    for pattern, name in blocks.items():
        if layer == pattern or layer.startswith(f"{pattern}."):
            rest = layer[len(pattern) :].removeprefix(".")
            yield f"{name}.{_INNER.get(rest, rest)}".removesuffix(".")


def original_blocks(unet: nn.Module) -> dict[str, str]:
    """diffusers' names of a UNet's blocks -> CompVis', which counts through all levels."""
    blocks = {
        "conv_in": "input_blocks.0.0", "conv_out": "out.2", "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2", "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2",
    }  # fmt: skip
    parts = {m[0] for name, _ in unet.named_modules() if (m := _BLOCK.match(name))}
    place = 1
    for level in range(_count(parts, "down_blocks")):
        for i in range(_count(parts, f"down_blocks.{level}.resnets")):
            blocks[f"down_blocks.{level}.resnets.{i}"] = f"input_blocks.{place}.0"
            blocks[f"down_blocks.{level}.attentions.{i}"] = f"input_blocks.{place}.1"
            place += 1
        if f"down_blocks.{level}.downsamplers.0" in parts:
            blocks[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{place}.0.op"
            place += 1
    place = 0
    for level in range(_count(parts, "up_blocks")):
        for i in range(_count(parts, f"up_blocks.{level}.resnets")):
            blocks[f"up_blocks.{level}.resnets.{i}"] = f"output_blocks.{place}.0"
            blocks[f"up_blocks.{level}.attentions.{i}"] = f"output_blocks.{place}.1"
            place += 1
        attended = f"up_blocks.{level}.attentions.0" in parts
        blocks[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{place - 1}.{1 + attended}.conv"
    return blocks


_BLOCK = re.compile(r"(down|up)_blocks\.\d+\.(resnets|attentions|downsamplers)\.\d+")


def _count(parts: set[str], prefix: str) -> int:
    """How many numbers stand behind a prefix."""
    return len({part[len(prefix) + 1 :].partition(".")[0] for part in parts if part.startswith(f"{prefix}.")})
