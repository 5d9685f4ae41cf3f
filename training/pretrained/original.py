"""Single-file checkpoints in the original layout of Stable Diffusion 1.x and its ControlNets.

Every size is read off the weights, so that a file needs no configuration beside it; what weights do not tell (heads,
activations, the number of residual blocks) is that of version 1.x. Key names: CompVis' latent-diffusion.

Functions that read a network raise KeyError for a weight that is not there and ValueError for one that makes no sense;
who knows the file's name makes one line of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.loaders import single_file_utils as conversion
from transformers import CLIPTextConfig, CLIPTextModel

from handfirst.engines.errors import UserError
from handfirst.training.pretrained.networks import (
    CONTROL,
    INPUTS,
    TEXT,
    UNET,
    VAE,
    build,
    check_count,
    count_of,
    fill,
    foreign,
    is_whole,
    part,
    side,
)
from handfirst.training.pretrained.weights import Weights, without_prefix

HEAD_WIDTH = 64  # of CLIP
LEVELS = range(4)


def check_version(weights: Weights, source: Path) -> None:
    """Only version 1.x, and no inpainting variant.

    Raises:
        UserError: names what the file is instead.
    """
    if what := foreign(weights):
        raise UserError(f"{source}: expected Stable Diffusion 1.x, got {what}")
    if not is_whole(weights):
        missing = "" if not any(map(weights.__contains__, _MARKS)) else " (its UNet or text encoder is missing)"
        raise UserError(f"{source}: expected a whole Stable Diffusion 1.x checkpoint{missing}, got {part(weights)}")
    try:
        check_inputs(side(weights, f"{UNET}input_blocks.0.0.weight", 1), source)
    except ValueError as error:
        raise UserError(f"{source}: not a Stable Diffusion 1.x checkpoint ({error}); copy it again") from error


def check_inputs(channels: Any, source: Path) -> None:
    """Only a UNet that is given latents alone.

    Raises:
        UserError: names what the checkpoint is instead.
    """
    if channels != 4:
        what = INPUTS.get(channels, "no plain checkpoint") if isinstance(channels, int) else "no plain checkpoint"
        raise UserError(
            f"{source}: expected a UNet with 4 input channels, got {channels} ({what}, not supported yet); "
            "give the plain one"
        )


def read_unet(weights: Weights) -> UNet2DConditionModel:
    """The UNet of a whole checkpoint."""
    inner = without_prefix(weights, UNET)
    config = _unet_config(inner)
    convert = conversion.convert_ldm_unet_checkpoint
    return fill(build(UNet2DConditionModel, config, inner), convert(_prefixed(inner, UNET), config=config))


def read_vae(weights: Weights) -> AutoencoderKL:
    """The autoencoder of a whole checkpoint; under the same prefix it may have diffusers' names."""
    inner = without_prefix(weights, VAE)
    converted = any(name.startswith("encoder.down_blocks.") for name in inner)
    first = "encoder.down_blocks.{}.resnets.0.conv1.weight" if converted else "encoder.down.{}.block.0.conv1.weight"
    config = {
        "block_out_channels": [side(inner, first.format(i), 0) for i in LEVELS],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "latent_channels": side(inner, "post_quant_conv.weight", 0),
        "norm_num_groups": 32,
        "sample_size": 512,
        "scaling_factor": 0.18215,
    }
    if converted:
        return fill(build(AutoencoderKL, config, inner), {_renamed(name): value for name, value in inner.items()})
    convert = conversion.convert_ldm_vae_checkpoint
    return fill(build(AutoencoderKL, config, inner), convert(_prefixed(inner, VAE), config=config))


def read_text_encoder(weights: Weights) -> CLIPTextModel:
    """The text encoder of a whole checkpoint; NovelAI's names lack the "text_model." of all others."""
    inner = {name.removeprefix("text_model."): value for name, value in without_prefix(weights, TEXT).items()}
    inner = {name: value for name, value in inner.items() if not name.endswith("position_ids")}
    words = "embeddings.token_embedding.weight"
    vocabulary, width = side(inner, words, 0), side(inner, words, 1)
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=side(inner, "encoder.layers.0.mlp.fc1.weight", 0),
        num_hidden_layers=count_of(inner, "encoder.layers."),
        num_attention_heads=max(1, width // HEAD_WIDTH),
        max_position_embeddings=side(inner, "embeddings.position_embedding.weight", 0),
        hidden_act="quick_gelu",
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    check_count(CLIPTextModel, config, inner)
    model = CLIPTextModel(config)
    names = model.state_dict().keys()
    prefix = "" if words in names else "text_model."
    return fill(model, {f"{prefix}{name}": value for name, value in inner.items()})


def read_controlnet(weights: Weights) -> ControlNetModel:
    """A ControlNet in the original layout or, in one file, in diffusers'."""
    if "controlnet_cond_embedding.conv_in.weight" in weights:
        return fill(build(ControlNetModel, _converted_config(weights), weights), weights)
    inner = without_prefix(weights, CONTROL) or weights
    hint = [f"input_hint_block.{i}.weight" for i in range(0, 14, 2)]
    config = {
        **{k: v for k, v in _unet_config(inner).items() if k not in ("up_block_types", "sample_size", "out_channels")},
        "conditioning_channels": side(inner, hint[0], 1),
        "conditioning_embedding_out_channels": [side(inner, name, 0) for name in (hint[0], *hint[2::2])],
    }
    convert = conversion.convert_controlnet_checkpoint
    return fill(build(ControlNetModel, config, inner), convert(_prefixed(inner, CONTROL), config=config))


_MARKS = (
    f"{UNET}input_blocks.0.0.weight",
    f"{UNET}out.2.weight",
    f"{TEXT}text_model.embeddings.token_embedding.weight",
    f"{TEXT}embeddings.token_embedding.weight",
)
"""Any of these is in every piece of a whole checkpoint."""


def _converted_config(weights: Weights) -> dict[str, Any]:
    embedding = "controlnet_cond_embedding"
    blocks = range(1, 2 * (count_of(weights, f"{embedding}.blocks.") // 2), 2)
    return {
        "in_channels": side(weights, "conv_in.weight", 1),
        "block_out_channels": [side(weights, f"down_blocks.{i}.resnets.0.conv1.weight", 0) for i in LEVELS],
        "down_block_types": [_down(f"down_blocks.{i}.attentions.0.proj_in.weight" in weights) for i in LEVELS],
        "cross_attention_dim": side(
            weights, "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", 1
        ),
        "layers_per_block": 2,
        "attention_head_dim": 8,
        "norm_num_groups": 32,
        "conditioning_channels": side(weights, f"{embedding}.conv_in.weight", 1),
        "conditioning_embedding_out_channels": [
            side(weights, f"{embedding}.conv_in.weight", 0),
            *(side(weights, f"{embedding}.blocks.{i}.weight", 0) for i in blocks),
        ],
    }  # fmt: skip


def _unet_config(inner: Weights) -> dict[str, Any]:
    """Of a UNet or of a ControlNet's trunk: four levels of two residual blocks, as in every 1.x model."""
    firsts = [f"input_blocks.{1 + 3 * i}" for i in LEVELS]
    attended = [f"{name}.1.proj_in.weight" in inner for name in firsts]
    return {
        "sample_size": 64,
        "in_channels": side(inner, "input_blocks.0.0.weight", 1),
        "out_channels": 4,
        "block_out_channels": [side(inner, f"{name}.0.in_layers.2.weight", 0) for name in firsts],
        "down_block_types": [_down(has) for has in attended],
        "up_block_types": ["CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attended)],
        "cross_attention_dim": side(inner, "middle_block.1.transformer_blocks.0.attn2.to_k.weight", 1),
        "layers_per_block": 2,
        "attention_head_dim": 8,
        "norm_num_groups": 32,
    }


def _down(has_attention: bool) -> str:
    return "CrossAttnDownBlock2D" if has_attention else "DownBlock2D"


def _renamed(name: str) -> str:
    """An attention's weights as diffusers calls them since 0.15."""
    for old, new in (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")):
        name = name.replace(f"attentions.0.{old}.", f"attentions.0.{new}.")
    return name


def _prefixed(weights: Weights, prefix: str) -> Weights:
    return {f"{prefix}{name}": value for name, value in weights.items()}
