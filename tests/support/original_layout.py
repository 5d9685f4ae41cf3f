"""Stable Diffusion 1.x in its original single-file layout, made from diffusers' networks with random weights.

The names are written out from CompVis' modules; the networks are narrow, the layout is the real one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

WIDTHS = (32, 64, 64, 64)
TRUNK: dict[str, Any] = {
    "block_out_channels": WIDTHS,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 64,
    "norm_num_groups": 32,
}
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


SMALL_VAE = {"block_out_channels": (32, 32, 32, 64)}
SMALL_TEXT = {
    "vocab_size": 302, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 1,
    "bos_token_id": 300, "eos_token_id": 301, "pad_token_id": 301,
}  # fmt: skip
FULL_TRUNK = {**TRUNK, "block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768}
FULL_VAE = {"block_out_channels": (128, 256, 512, 512)}
FULL_TEXT = {
    "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407,
}  # fmt: skip


def networks(
    seed: int = 0, full: bool = False
) -> tuple[UNet2DConditionModel, AutoencoderKL, CLIPTextModel, ControlNetModel]:
    """UNet, VAE, text encoder, and a skeleton's ControlNet with three hint channels that does say something.

    With `full` their sizes are Stable Diffusion 1.5's own.
    """
    trunk, sizes, words = (FULL_TRUNK, FULL_VAE, FULL_TEXT) if full else (TRUNK, SMALL_VAE, SMALL_TEXT)
    hint = (16, 32, 96, 256) if full else (8, 16, 24, 32)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            **trunk, up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, sample_size=64
        )
        vae = AutoencoderKL(
            **sizes,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            sample_size=512,
        )
        text = CLIPTextModel(CLIPTextConfig(**words, hidden_act="quick_gelu"))
        controlnet = ControlNetModel(**trunk, conditioning_embedding_out_channels=hint)
        for layer in [*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block]:
            torch.nn.init.normal_(layer.weight, std=0.1)
        torch.nn.init.normal_(controlnet.controlnet_cond_embedding.conv_out.weight, std=0.1)
    return unet.eval(), vae.eval(), text.eval(), controlnet.eval()


def original_checkpoint(unet: UNet2DConditionModel, vae: AutoencoderKL, text: CLIPTextModel) -> dict[str, Tensor]:
    """A whole checkpoint's tensors by their original names, with the schedule's buffers that real files carry."""
    weights = {f"model.diffusion_model.{_trunk(k)}": v for k, v in unet.state_dict().items()}
    for name, value in vae.state_dict().items():
        new = _vae(name)
        convolution = "attn_1" in new and value.ndim == 2
        weights[f"first_stage_model.{new}"] = value[:, :, None, None] if convolution else value
    for name, value in text.state_dict().items():
        weights[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = value
    weights["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    weights["betas"] = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    weights["alphas_cumprod"] = (1 - weights["betas"]).cumprod(0)
    return {name: value.contiguous() for name, value in weights.items()}


def original_controlnet(controlnet: ControlNetModel) -> dict[str, Tensor]:
    """A ControlNet's tensors by their original names."""
    return {f"control_model.{_control(k)}": v.contiguous() for k, v in controlnet.state_dict().items()}


def write_tokenizer(folder: Path) -> Path:
    """vocab.json and merges.txt in CLIP's layout: bytes, bytes that end a word, merges, the two frame tokens last."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())[:140]
    tokens = letters + [f"{x}</w>" for x in letters]
    merges = [("a", "n"), ("an", "d</w>"), ("h", "an"), ("t", "h"), ("r", "e"), ("re", "d</w>")]
    tokens += [a + b for a, b in merges]
    tokens += [f"<unused{i}>" for i in range(300 - len(tokens))] + ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(f"{a} {b}" for a, b in merges) + "\n")
    return folder


def write_folder(folder: Path, seed: int = 0, variant: str | None = None, full: bool = False, **options: Any) -> Path:
    """The same networks as a diffusers folder; `options` go to save_pretrained of the diffusers networks."""
    unet, vae, text, _ = networks(seed, full)
    unet.save_pretrained(folder / "unet", variant=variant, **options)
    vae.save_pretrained(folder / "vae", variant=variant, **options)
    text.save_pretrained(folder / "text_encoder", variant=variant)
    write_tokenizer(folder / "tokenizer")
    (folder / "scheduler").mkdir(exist_ok=True)
    schedule = {
        "_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
        "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
    }  # fmt: skip
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(schedule))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return folder


def _trunk(name: str) -> str:
    """UNet, or what a ControlNet shares with it."""
    for old, new in {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
    }.items():
        if name.startswith(f"{old}."):
            return _resnet(new + name[len(old) :])
    if found := re.match(r"down_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.*)", name):
        level, kind, index, rest = found.groups()
        return _resnet(f"input_blocks.{1 + 3 * int(level) + int(index)}.{int(kind == 'attentions')}.{rest}")
    if found := re.match(r"down_blocks\.(\d)\.downsamplers\.0\.conv\.(.*)", name):
        return f"input_blocks.{3 * int(found[1]) + 3}.0.op.{found[2]}"
    if found := re.match(r"up_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.*)", name):
        level, kind, index, rest = found.groups()
        return _resnet(f"output_blocks.{3 * int(level) + int(index)}.{int(kind == 'attentions')}.{rest}")
    if found := re.match(r"up_blocks\.(\d)\.upsamplers\.0\.(.*)", name):
        place = 1 if found[1] == "0" else 2  # behind the attention, where the level has one
        return f"output_blocks.{3 * int(found[1]) + 2}.{place}.{found[2]}"
    raise ValueError(name)


def _resnet(name: str) -> str:
    for old, new in RESNET.items() if "transformer_blocks" not in name else ():
        if re.search(rf"\.{old}\.(weight|bias)$", name):
            return re.sub(rf"\.{old}\.(weight|bias)$", rf".{new}.\1", name)
    return name


def _control(name: str) -> str:
    if found := re.match(r"controlnet_cond_embedding\.(conv_in|conv_out|blocks\.(\d))\.(.*)", name):
        place = {"conv_in": 0, "conv_out": 14}.get(found[1])
        return f"input_hint_block.{2 + 2 * int(found[2]) if place is None else place}.{found[3]}"
    if found := re.match(r"controlnet_down_blocks\.(\d+)\.(.*)", name):
        return f"zero_convs.{found[1]}.0.{found[2]}"
    if name.startswith("controlnet_mid_block."):
        return name.replace("controlnet_mid_block", "middle_block_out.0")
    return _trunk(name)


def _vae(name: str) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    if "mid_block.attentions.0" in name:
        name = name.replace("mid_block.attentions.0", "mid.attn_1")
        for old, new in VAE_ATTENTION.items():
            name = name.replace(f"attn_1.{old}.", f"attn_1.{new}.")
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{3 - int(m[1])}.block.{m[2]}", name)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample", name)
