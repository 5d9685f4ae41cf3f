"""Single-file checkpoints in the original layout of Stable Diffusion 1.x and its ControlNets.

Every size is read off the weights, so that a file needs no configuration beside it; what weights do not tell (heads,
activations, the number of residual blocks) is that of version 1.x. Key names: CompVis' latent-diffusion.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from handfirst.engines.errors import UserError
from handfirst.training.pretrained.weights import without_prefix

UNET, VAE, TEXT, CONTROL = (
    "model.diffusion_model.",
    "first_stage_model.",
    "cond_stage_model.transformer.",
    "control_model.",
)
HEAD_WIDTH = 64  # of CLIP
Weights = dict[str, Tensor]
M = TypeVar("M")


def check_version(weights: Weights, source: Path) -> None:
    """Only version 1.x, and no inpainting variant.

    Raises:
        UserError: names what the file is instead.
    """
    first = weights.get(f"{UNET}input_blocks.0.0.weight")
    if "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight" in weights:
        raise UserError(f"{source}: expected Stable Diffusion 1.x, got an SDXL checkpoint; give a 1.x one")
    if "cond_stage_model.model.token_embedding.weight" in weights:
        raise UserError(f"{source}: expected Stable Diffusion 1.x, got a 2.x checkpoint; give a 1.x one")
    if first is None or not any(name.startswith(TEXT) for name in weights):
        raise UserError(
            f"{source}: expected a whole Stable Diffusion 1.x checkpoint, its UNet or text encoder is missing"
        )
    if first.shape[1] != 4:
        raise UserError(
            f"{source}: expected a UNet with 4 input channels, got {first.shape[1]} (an inpainting checkpoint?); "
            "give the plain one"
        )


def read_unet(weights: Weights) -> UNet2DConditionModel:
    """The UNet of a whole checkpoint."""
    inner = without_prefix(weights, UNET)
    return _load(UNet2DConditionModel, _unet_config(inner), {f"{UNET}{k}": v for k, v in inner.items()})


def read_vae(weights: Weights) -> AutoencoderKL:
    """The autoencoder of a whole checkpoint."""
    inner = without_prefix(weights, VAE)
    widths = [int(inner[f"encoder.down.{i}.block.0.conv1.weight"].shape[0]) for i in range(4)]
    config = {
        "block_out_channels": widths,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "latent_channels": int(inner["post_quant_conv.weight"].shape[0]),
        "norm_num_groups": 32,
        "sample_size": 512,
        "scaling_factor": 0.18215,
    }
    return _load(AutoencoderKL, config, {f"{VAE}{k}": v for k, v in inner.items()})


def read_text_encoder(weights: Weights) -> CLIPTextModel:
    """The text encoder of a whole checkpoint."""
    inner = without_prefix(weights, f"{TEXT}text_model.")
    vocabulary, width = inner["embeddings.token_embedding.weight"].shape
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner["encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=1 + max(int(name.split(".")[2]) for name in inner if name.startswith("encoder.layers.")),
        num_attention_heads=max(1, width // HEAD_WIDTH),
        max_position_embeddings=inner["embeddings.position_embedding.weight"].shape[0],
        hidden_act="quick_gelu",
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    model = CLIPTextModel(config)
    names = model.state_dict().keys()
    prefix = "" if "embeddings.token_embedding.weight" in names else "text_model."
    model.load_state_dict({f"{prefix}{k}": v.float() for k, v in inner.items() if not k.endswith("position_ids")})
    return model.eval()


def read_controlnet(weights: Weights) -> ControlNetModel:
    """A ControlNet in the original layout or, in one file, in diffusers'."""
    if "controlnet_cond_embedding.conv_in.weight" in weights:
        return _read_converted(weights)
    inner = without_prefix(weights, CONTROL) or weights
    hint = [f"input_hint_block.{i}.weight" for i in range(0, 14, 2)]
    config = {
        **{k: v for k, v in _unet_config(inner).items() if k not in ("up_block_types", "sample_size", "out_channels")},
        "conditioning_channels": int(inner[hint[0]].shape[1]),
        "conditioning_embedding_out_channels": [int(inner[name].shape[0]) for name in (hint[0], *hint[2::2])],
    }
    return _load(ControlNetModel, config, {f"{CONTROL}{k}": v for k, v in inner.items()})


def _read_converted(weights: Weights) -> ControlNetModel:
    embedding = "controlnet_cond_embedding"
    blocks = sorted(
        (int(n.split(".")[2]), int(w.shape[0]))
        for n, w in weights.items()
        if n.startswith(f"{embedding}.blocks.") and n.endswith("weight")
    )
    levels = range(4)
    config = {
        "in_channels": int(weights["conv_in.weight"].shape[1]),
        "block_out_channels": [int(weights[f"down_blocks.{i}.resnets.0.conv1.weight"].shape[0]) for i in levels],
        "down_block_types": [_down(f"down_blocks.{i}.attentions.0.proj_in.weight" in weights) for i in levels],
        "cross_attention_dim": int(
            weights["mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"].shape[1]
        ),
        "layers_per_block": 2,
        "attention_head_dim": 8,
        "norm_num_groups": 32,
        "conditioning_channels": int(weights[f"{embedding}.conv_in.weight"].shape[1]),
        "conditioning_embedding_out_channels": [
            int(weights[f"{embedding}.conv_in.weight"].shape[0]), *(width for i, width in blocks if i % 2)
        ],
    }  # fmt: skip
    with torch.device("cpu"):
        model = ControlNetModel(**config)
    model.load_state_dict({k: v.float() for k, v in weights.items()})
    return model.eval()


def _unet_config(inner: Weights) -> dict[str, Any]:
    """Of a UNet or of a ControlNet's trunk: four levels of two residual blocks, as in every 1.x model."""
    firsts = [f"input_blocks.{1 + 3 * i}" for i in range(4)]
    attended = [f"{name}.1.proj_in.weight" in inner for name in firsts]
    return {
        "sample_size": 64,
        "in_channels": int(inner["input_blocks.0.0.weight"].shape[1]),
        "out_channels": 4,
        "block_out_channels": [int(inner[f"{name}.0.in_layers.2.weight"].shape[0]) for name in firsts],
        "down_block_types": [_down(has) for has in attended],
        "up_block_types": ["CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attended)],
        "cross_attention_dim": int(inner["middle_block.1.transformer_blocks.0.attn2.to_k.weight"].shape[1]),
        "layers_per_block": 2,
        "attention_head_dim": 8,
        "norm_num_groups": 32,
    }


def _down(has_attention: bool) -> str:
    return "CrossAttnDownBlock2D" if has_attention else "DownBlock2D"


def _load(kind: type[M], config: dict[str, Any], weights: Weights) -> M:
    """diffusers' own conversion, with our configuration instead of one from a server."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps({"_class_name": kind.__name__, **config}))
        try:
            found: M = kind.from_single_file(  # type: ignore[attr-defined]
                weights, config=folder, local_files_only=True, torch_dtype=torch.float32
            )
        except NotImplementedError as error:  # how the library says that a weight never came
            raise ValueError(f"weights of its {kind.__name__} are missing") from error
    return found
