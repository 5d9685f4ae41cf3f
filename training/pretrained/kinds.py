"""What weights belong to, told by their names: a LoRA, another version, a part of a checkpoint.

Knows nothing about how they are read. Names: CompVis, Stability AI, kohya-ss, peft, diffusers, LyCORIS, ComfyUI.
"""

from __future__ import annotations

from collections.abc import Iterable

from handfirst.training.pretrained.weights import Weights

UNET, VAE, TEXT, CONTROL = (
    "model.diffusion_model.",
    "first_stage_model.",
    "cond_stage_model.transformer.",
    "control_model.",
)
INPUTS = {9: "an inpainting checkpoint", 8: "an instruct-pix2pix checkpoint", 5: "a depth checkpoint"}
"""What a UNet with so many input channels is made for."""

_LORA = (
    "a LoRA or another adapter, which holds changes alone; merge it into a checkpoint, or give the checkpoint itself"
)
# (in any of the names, what it is); the first that is found counts, so the more special ones come first
_PARTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("lora_down", "lora_up", "lora_A.", "lora_B.", "lora.down.", "lora.up.", "lora_linear_layer"), _LORA),
    (("hada_w1", "lokr_w", "oft_blocks", "oft_diag", "glora_", "dora_scale"), _LORA),
    (("emb_params", "string_to_param"), "a textual inversion, which holds words alone; give a checkpoint"),
    (("motion_modules.", "temporal_transformer"), "a motion module (AnimateDiff); give a checkpoint"),
    (("ip_adapter.", "image_proj.", "to_k_ip"), "an IP-Adapter; give a checkpoint"),
    (("conditioner.embedders.",), "an SDXL checkpoint; give a 1.x one"),
    (("cond_stage_model.model.",), "a 2.x checkpoint; give a 1.x one"),
    (("joint_blocks.",), "a Stable Diffusion 3 checkpoint; give a 1.x one"),
    (("double_blocks.", "double_stream"), "a FLUX checkpoint; give a Stable Diffusion 1.x one"),
    (("label_emb.0.0.weight", "add_embedding.linear_1"), "an SDXL network; give a 1.x checkpoint"),
)  # fmt: skip
# (the beginning of a name, what it is); of what holds no whole checkpoint
_ALONE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("input_hint_block.", CONTROL, "controlnet_cond_embedding."), "a ControlNet; give a checkpoint, and this with "
     "--controlnet"),
    (("adapter.body.", "body.0.block"), "a T2I-Adapter; give a checkpoint"),
    (("encoder.down.", "encoder.down_blocks.", "decoder.up"), "an autoencoder alone; give a checkpoint, and this with "
     "--vae"),
    ((f"{VAE}encoder.",), "an autoencoder alone; give a checkpoint, and this with --vae"),
    (("down_blocks.", "input_blocks.", "unet.", "conv_in."), "a UNet alone; give a whole checkpoint"),
    (("text_model.", "transformer.text_model.", TEXT), "a text encoder alone; give a whole checkpoint"),
    (("params_ema", "model.0.", "RRDB_trunk", "conv_first"), "an upscaler; give a checkpoint"),
)  # fmt: skip


def foreign(names: Iterable[str]) -> str | None:
    """What it is, and what to give instead, where the names say that it is no Stable Diffusion 1.x; else None."""
    names = list(names)
    for signs, what in _PARTS:
        if any(sign in name for name in names for sign in signs):
            return what
    return None


def part(names: Iterable[str]) -> str:
    """What it is, and what to give instead, of weights that are no whole checkpoint."""
    names = list(names)
    if not names:
        return "a file without any tensor; copy it again"
    if what := foreign(names):
        return what
    for beginnings, what in _ALONE:
        if any(name.startswith(beginnings) for name in names):
            return what
    return f"{len(names)} tensors of no known network ({min(names):.60}); give a checkpoint"


def named(weights: Weights) -> str:
    """What it is, where a ControlNet was expected."""
    return "a whole checkpoint; give its ControlNet" if is_whole(weights) else part(weights)


def is_whole(weights: Weights) -> bool:
    """Whether a UNet and a text encoder are there, under their original names."""
    return f"{UNET}input_blocks.0.0.weight" in weights and any(name.startswith(TEXT) for name in weights)
