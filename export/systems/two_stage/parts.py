"""The parts of a two-stage model that become graphs: role, module, and the spec of what it takes and gives.

    role          inputs                                       outputs
    text_encoder  ids                                          context
    hand_unet     sample, timestep, context                    prediction, feature
    mask_head     feature                                      mask
    hint_encoder  hint                                         hint_feature
    controlnet    sample, timestep, context, hint_feature      residual_00, residual_01, ..., residual_mid
    body_unet     sample, timestep, context, residual_*        prediction
    vae_encoder   image                                        latent
    vae_decoder   latent                                       image
    preview_decoder    as vae_decoder, where one was given

Knows nothing about ONNX. Sizes come from
the settings and from the networks' own configs, never from a literal.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from handfirst.engines.errors import UserError
from handfirst.engines.spec import DType, EngineSpec, TensorSpec
from handfirst.export.codec import Decoder, Encoder, PreviewDecoder
from handfirst.export.controlnet import ControlNet, SteeredUNet
from handfirst.export.part import BATCH, CELLS, PIXELS, Part, PartMaker
from handfirst.export.systems.two_stage.modules import HandUNet
from handfirst.runtime.diffusion.settings import LatentSettings
from handfirst.runtime.systems.two_stage.roles import PREVIEW
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.models.text_encoder import TextContext
from handfirst.training.pretrained.tiny_decoder import FACTOR, read_tiny_decoder
from handfirst.training.systems.two_stage.model_folder import NetworkName


class Networks(Protocol):
    """Where networks come from: a TwoStageModel in memory, or a ModelFolder on disk."""

    @property
    def settings(self) -> TwoStageSettings: ...

    def network(self, name: NetworkName) -> Any: ...

    def outline(self, name: NetworkName) -> Any: ...


def part_makers(model: Networks) -> dict[str, PartMaker]:
    """By role, in the order in which the pipeline uses them, what makes each part.

    Raises:
        UserError: a network's configuration contradicts the settings.
    """
    _check_fit(model)
    residuals = _residuals(model)
    return {
        "text_encoder": lambda: _text_encoder(model),
        "hand_unet": lambda: _hand_unet(model),
        "mask_head": lambda: _mask_head(model),
        "hint_encoder": lambda: _hint_encoder(model),
        "controlnet": lambda: _controlnet(model, residuals),
        "body_unet": lambda: _body_unet(model, residuals),
        "vae_encoder": lambda: _vae_encoder(model),
        "vae_decoder": lambda: _vae_decoder(model),
    }


def _tensor(name: str, *shape: int | str, dtype: DType = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=(BATCH, *shape))


def _text_encoder(model: Networks) -> Part:
    text = model.settings.text
    spec = EngineSpec(
        inputs=(_tensor("ids", text.length, dtype="int64"),), outputs=(_tensor("context", text.length, text.width),)
    )
    encoder = model.network("text_encoder")
    return Part("text_encoder", TextContext(encoder), spec, {"ids": encoder.config.vocab_size})


def _hand_unet(model: Networks) -> Part:
    settings = model.settings
    latent = settings.latent
    side = settings.hand.size // latent.factor
    spec = EngineSpec(
        inputs=(_tensor("sample", latent.channels + settings.condition_channels, side, side), *_step_inputs(model)),
        outputs=(_tensor("prediction", latent.channels, side, side), _feature(model)),
    )
    return Part("hand_unet", HandUNet(model.network("hand")), spec, _step_bounds(model))


def _mask_head(model: Networks) -> Part:
    size = model.settings.hand.size
    spec = EngineSpec(inputs=(_feature(model),), outputs=(_tensor("mask", 1, size, size),))
    return Part("mask_head", model.network("mask_head"), spec)


def _hint_encoder(model: Networks) -> Part:
    encoder = model.network("controlnet").controlnet_cond_embedding
    spec = EngineSpec(
        inputs=(_tensor("hint", model.settings.body.hint_channels, *PIXELS),),
        outputs=(_tensor("hint_feature", encoder.conv_out.out_channels, *CELLS),),
    )
    return Part("hint_encoder", encoder, spec, cell=model.settings.latent.factor)


def _controlnet(model: Networks, residuals: tuple[TensorSpec, ...]) -> Part:
    spec = EngineSpec(inputs=(*_body_inputs(model), _hint_feature(model)), outputs=residuals)
    return Part("controlnet", ControlNet(model.network("controlnet")), spec, _step_bounds(model))


def _body_unet(model: Networks, residuals: tuple[TensorSpec, ...]) -> Part:
    prediction = _tensor("prediction", model.settings.latent.channels, *_canvas_cells(model))
    spec = EngineSpec(inputs=(*_body_inputs(model), *residuals), outputs=(prediction,))
    return Part("body_unet", SteeredUNet(model.network("base")), spec, _step_bounds(model))


def _vae_encoder(model: Networks) -> Part:
    latent = model.settings.latent
    spec = EngineSpec(inputs=(_tensor("image", 3, *PIXELS),), outputs=(_tensor("latent", latent.channels, *CELLS),))
    return Part("vae_encoder", Encoder(model.network("autoencoder")), spec, cell=latent.factor)


def _vae_decoder(model: Networks) -> Part:
    latent = model.settings.latent
    spec = EngineSpec(inputs=(_tensor("latent", latent.channels, *CELLS),), outputs=(_tensor("image", 3, *PIXELS),))
    return Part("vae_decoder", Decoder(model.network("autoencoder")), spec, cell=latent.factor)


def preview_decoder(path: Path, latent: LatentSettings) -> Part:
    """TAESD's decoder, for the latents of Stable Diffusion 1.x.

    Raises:
        UserError: it cannot be read, or these are other latents.
    """
    decoder = read_tiny_decoder(path, latent.channels)
    if latent.factor != FACTOR:
        raise UserError(
            f"--preview: expected a model with {FACTOR} pixels to a latent cell, as TAESD has, got {latent.factor}"
        )
    spec = EngineSpec(inputs=(_tensor("latent", latent.channels, *CELLS),), outputs=(_tensor("image", 3, *PIXELS),))
    return Part(PREVIEW, PreviewDecoder(decoder), spec, cell=latent.factor)


def _step_inputs(model: Networks) -> tuple[TensorSpec, TensorSpec]:
    text = model.settings.text
    return _tensor("timestep", dtype="int64"), _tensor("context", text.length, text.width)


def _step_bounds(model: Networks) -> dict[str, int]:
    return {"timestep": model.settings.schedule.train_steps}


def _body_inputs(model: Networks) -> tuple[TensorSpec, ...]:
    return _tensor("sample", model.settings.latent.channels, *_canvas_cells(model)), *_step_inputs(model)


def _canvas_cells(model: Networks) -> tuple[int, int]:
    factor, body = model.settings.latent.factor, model.settings.body
    return body.height // factor, body.width // factor


def _feature(model: Networks) -> TensorSpec:
    settings = model.settings
    side = settings.hand.size // settings.latent.factor // settings.hand.mask_head.stride
    return _tensor("feature", model.outline("mask_head").in_channels, side, side)


def _hint_feature(model: Networks) -> TensorSpec:
    return _tensor("hint_feature", model.outline("controlnet").conv_in.out_channels, *_canvas_cells(model))


def _residuals(model: Networks) -> tuple[TensorSpec, ...]:
    """One per skip connection of the base UNet and one for its middle; the shapes are read off an outline."""
    outline = copy.deepcopy(model.outline("controlnet")).to("meta")
    dtypes = {"float32": torch.float32, "int64": torch.int64}
    with torch.no_grad(), torch.device("meta"):
        zeros = [
            torch.zeros([1, *(int(n) for n in t.shape[1:])], dtype=dtypes[t.dtype])
            for t in [*_body_inputs(model), _hint_feature(model)]
        ]
        found = ControlNet(outline).eval()(*zeros)
    names = [*(f"residual_{i:02d}" for i in range(len(found) - 1)), "residual_mid"]
    return tuple(_tensor(name, *value.shape[1:]) for name, value in zip(names, found, strict=True))


def _check_fit(model: Networks) -> None:
    """The networks' configurations against the settings, so that a mismatch is named before anything is exported."""
    settings = model.settings
    text, latent = settings.text, settings.latent
    encoder, hand = model.outline("text_encoder"), model.outline("hand")
    base, controlnet = model.outline("base"), model.outline("controlnet")
    hint = controlnet.controlnet_cond_embedding
    strides = [layer.stride[0] for layer in hint.modules() if isinstance(layer, nn.Conv2d)]
    found: list[tuple[str, int, int]] = [
        ("text encoder width", text.width, encoder.config.hidden_size),
        ("text encoder length", text.length, encoder.config.max_position_embeddings),
        ("hand UNet input channels", latent.channels + settings.condition_channels, hand.unet.config.in_channels),
        ("hand UNet output channels", latent.channels, hand.conv_out.out_channels),
        ("hand UNet context width", text.width, hand.unet.config.cross_attention_dim),
        ("body UNet channels", latent.channels, base.config.in_channels),
        ("body UNet context width", text.width, base.config.cross_attention_dim),
        ("ControlNet channels", latent.channels, controlnet.config.in_channels),
        ("ControlNet context width", text.width, controlnet.config.cross_attention_dim),
        ("hint channels", settings.body.hint_channels, hint.conv_in.in_channels),
        ("hint encoder pixels per cell", latent.factor, 2 ** strides.count(2)),
    ]
    for what, expected, got in found:
        if expected != got:
            raise UserError(f"{what}: the settings say {expected}, the network has {got}; train or convert it again")
