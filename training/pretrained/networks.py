"""Networks from weights: what weights belong to, told by their names (a LoRA, another version, a part of a checkpoint),
and networks whose sizes are read off them, without trusting the sizes: nothing is built that they do not fill.

Knows nothing about how they are read. Names: CompVis, Stability AI, kohya-ss, peft, diffusers, LyCORIS, ComfyUI.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import nn

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


MOST_LAYERS = 64
"""Of one kind; CLIP's largest text encoder has 32."""
MOST_TENSORS = 5000
"""Of one network; the UNet of 1.x has 686, SDXL's 1,680."""

M = TypeVar("M", bound=nn.Module)


def side(weights: Weights, name: str, axis: int) -> int:
    """One side of a tensor.

    Raises:
        KeyError: no such tensor.
        ValueError: it has no such side, or none that makes sense.
    """
    shape = tuple(weights[name].shape)
    if axis >= len(shape) or not 1 <= shape[axis] <= 1 << 20:
        raise ValueError(f"{name} has shape {shape!s:.60}")
    return int(shape[axis])


def count_of(weights: Weights, prefix: str) -> int:
    """How many layers there are: "PREFIX0.x", "PREFIX1.x", ...

    Raises:
        ValueError: none, more than any network has, one without a number, or a gap.
    """
    numbers = {name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)}
    if not numbers or numbers != {str(i) for i in range(len(numbers))} or len(numbers) > MOST_LAYERS:
        odd = sorted(numbers - {str(i) for i in range(min(len(numbers), MOST_LAYERS))})
        raise ValueError(f"{prefix}{odd[0]:.40} is no layer that follows on others" if odd else f"no {prefix}0")
    return len(numbers)


def check_count(kind: type[nn.Module], config: Any, weights: Weights) -> None:
    """Refuses a network with more numbers than the weights hold: its sizes were read off damaged or hostile ones.

    Args:
        kind: the class.
        config: its only argument, or a dict of its arguments.

    Raises:
        ValueError: says both counts.
    """
    _outline(kind, config, weights)


def build(kind: type[M], config: dict[str, Any], weights: Weights) -> M:
    """The network on torch's meta device, where it takes no memory; `fill` gives it its weights.

    Raises:
        ValueError: as `check_count`.
    """
    return _outline(kind, config, weights)


def fill(model: M, weights: Weights) -> M:
    """The network with these weights, in float32 and evaluation mode; its buffers are its own.

    Raises:
        ValueError: weights that are missing, of other shapes, or no real numbers. Weights that it does not know are
            left out.
    """
    expected = model.state_dict()
    missing = sorted(name for name in expected if weights.get(name) is None)
    if missing:
        raise ValueError(f"{len(missing)} weights of its {type(model).__name__} are missing, {missing[0]} among them")
    chosen = {}
    for name, wanted in expected.items():
        given = weights[name]
        if given.shape != wanted.shape or given.is_complex():
            raise ValueError(f"{name}: expected {tuple(wanted.shape)}, got {tuple(given.shape)!s:.60} of {given.dtype}")
        chosen[name] = given.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    model.load_state_dict(chosen, assign=True)
    return model.eval()


def _outline(kind: type[M], config: Any, weights: Weights) -> M:
    if len(weights) > MOST_TENSORS:
        raise ValueError(f"{len(weights)} tensors for one {kind.__name__}")
    with torch.device("meta"):
        model = kind(**config) if isinstance(config, dict) else kind(config)
    needed = sum(parameter.numel() for parameter in model.parameters())
    has = sum(value.numel() for value in weights.values())
    if needed > has:
        raise ValueError(f"weights of its {kind.__name__} are missing: it needs {needed} numbers, there are {has}")
    return model
