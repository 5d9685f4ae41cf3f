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

Knows nothing about ONNX. Sizes come from the settings and from the networks' own configs, never from a literal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

from handfirst.engines.errors import UserError
from handfirst.engines.spec import DType, EngineSpec, TensorSpec
from handfirst.export import modules
from handfirst.training.checkpoint import TwoStageModel
from handfirst.training.models.text_encoder import TextContext

BATCH = "batch"
PIXELS = ("height", "width")
CELLS = ("rows", "cols")


@dataclass(frozen=True)
class Part:
    """One graph to be.

    Attributes:
        role: the engine's role in the bundle.
        module: takes the spec's inputs in order and returns its outputs in order.
        spec: names, dtypes and shapes.
        below: for every integer input the bound (exclusive) of its values.
        cell: pixels per latent cell; free pixel axes must be multiples of it.
    """

    role: str
    module: nn.Module
    spec: EngineSpec
    below: dict[str, int] = field(default_factory=dict)
    cell: int = 1


def two_stage_parts(model: TwoStageModel) -> Iterator[Part]:
    """All parts, one at a time, in the order in which the pipeline uses them.

    Raises:
        UserError: a network's configuration contradicts the settings.
    """
    _check_fit(model)
    yield _text_encoder(model)
    yield _hand_unet(model)
    yield _mask_head(model)
    yield _hint_encoder(model)
    residuals = _residuals(model)
    yield _controlnet(model, residuals)
    yield _body_unet(model, residuals)
    yield _vae_encoder(model)
    yield _vae_decoder(model)


def count_parts() -> int:
    """How many parts two_stage_parts yields."""
    return 8


def _tensor(name: str, *shape: int | str, dtype: DType = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=(BATCH, *shape))


def _text_encoder(model: TwoStageModel) -> Part:
    text = model.settings.text
    spec = EngineSpec(
        inputs=(_tensor("ids", text.length, dtype="int64"),), outputs=(_tensor("context", text.length, text.width),)
    )
    return Part("text_encoder", TextContext(model.text_encoder), spec, {"ids": model.text_encoder.config.vocab_size})


def _hand_unet(model: TwoStageModel) -> Part:
    settings = model.settings
    latent = settings.latent
    side = settings.hand.size // latent.factor
    spec = EngineSpec(
        inputs=(_tensor("sample", latent.channels + settings.condition_channels, side, side), *_step_inputs(model)),
        outputs=(_tensor("prediction", latent.channels, side, side), _feature(model)),
    )
    return Part("hand_unet", modules.HandUNet(model.hand), spec, _step_bounds(model))


def _mask_head(model: TwoStageModel) -> Part:
    size = model.settings.hand.size
    spec = EngineSpec(inputs=(_feature(model),), outputs=(_tensor("mask", 1, size, size),))
    return Part("mask_head", model.hand.mask_head, spec)


def _hint_encoder(model: TwoStageModel) -> Part:
    encoder = model.body.controlnet.controlnet_cond_embedding
    spec = EngineSpec(
        inputs=(_tensor("hint", model.settings.body.hint_channels, *PIXELS),),
        outputs=(_tensor("hint_feature", encoder.conv_out.out_channels, *CELLS),),
    )
    return Part("hint_encoder", encoder, spec, cell=model.settings.latent.factor)


def _controlnet(model: TwoStageModel, residuals: tuple[TensorSpec, ...]) -> Part:
    spec = EngineSpec(inputs=(*_body_inputs(model), _hint_feature(model)), outputs=residuals)
    return Part("controlnet", modules.ControlNet(model.body.controlnet), spec, _step_bounds(model))


def _body_unet(model: TwoStageModel, residuals: tuple[TensorSpec, ...]) -> Part:
    prediction = _tensor("prediction", model.settings.latent.channels, *_canvas_cells(model))
    spec = EngineSpec(inputs=(*_body_inputs(model), *residuals), outputs=(prediction,))
    return Part("body_unet", modules.BodyUNet(model.body.unet), spec, _step_bounds(model))


def _vae_encoder(model: TwoStageModel) -> Part:
    latent = model.settings.latent
    spec = EngineSpec(inputs=(_tensor("image", 3, *PIXELS),), outputs=(_tensor("latent", latent.channels, *CELLS),))
    return Part("vae_encoder", modules.Encoder(model.autoencoder), spec, cell=latent.factor)


def _vae_decoder(model: TwoStageModel) -> Part:
    latent = model.settings.latent
    spec = EngineSpec(inputs=(_tensor("latent", latent.channels, *CELLS),), outputs=(_tensor("image", 3, *PIXELS),))
    return Part("vae_decoder", modules.Decoder(model.autoencoder), spec, cell=latent.factor)


def _step_inputs(model: TwoStageModel) -> tuple[TensorSpec, TensorSpec]:
    text = model.settings.text
    return _tensor("timestep", dtype="int64"), _tensor("context", text.length, text.width)


def _step_bounds(model: TwoStageModel) -> dict[str, int]:
    return {"timestep": model.settings.schedule.train_steps}


def _body_inputs(model: TwoStageModel) -> tuple[TensorSpec, ...]:
    return _tensor("sample", model.settings.latent.channels, *_canvas_cells(model)), *_step_inputs(model)


def _canvas_cells(model: TwoStageModel) -> tuple[int, int]:
    factor, body = model.settings.latent.factor, model.settings.body
    return body.height // factor, body.width // factor


def _feature(model: TwoStageModel) -> TensorSpec:
    side = model.settings.hand.size // model.settings.latent.factor
    return _tensor("feature", model.hand.conv_out.in_channels, side, side)


def _hint_feature(model: TwoStageModel) -> TensorSpec:
    return _tensor("hint_feature", model.body.controlnet.conv_in.out_channels, *_canvas_cells(model))


def _residuals(model: TwoStageModel) -> tuple[TensorSpec, ...]:
    """One per skip connection of the base UNet and one for its middle; the shapes are read off one evaluation."""
    inputs = [*_body_inputs(model), _hint_feature(model)]
    dtypes = {"float32": torch.float32, "int64": torch.int64}
    zeros = [torch.zeros([1, *(int(n) for n in t.shape[1:])], dtype=dtypes[t.dtype]) for t in inputs]
    with torch.no_grad():
        found = modules.ControlNet(model.body.controlnet).eval()(*zeros)
    names = [*(f"residual_{i:02d}" for i in range(len(found) - 1)), "residual_mid"]
    return tuple(_tensor(name, *value.shape[1:]) for name, value in zip(names, found, strict=True))


def _check_fit(model: TwoStageModel) -> None:
    """The networks' configurations against the settings, so that a mismatch is named before anything is exported."""
    settings, hand, body = model.settings, model.hand, model.body
    text, latent = settings.text, settings.latent
    hint = body.controlnet.controlnet_cond_embedding
    strides = [layer.stride[0] for layer in hint.modules() if isinstance(layer, nn.Conv2d)]
    found: list[tuple[str, int, int]] = [
        ("text encoder width", text.width, model.text_encoder.config.hidden_size),
        ("text encoder length", text.length, model.text_encoder.config.max_position_embeddings),
        ("hand UNet input channels", latent.channels + settings.condition_channels, hand.unet.config.in_channels),
        ("hand UNet output channels", latent.channels, hand.conv_out.out_channels),
        ("hand UNet context width", text.width, hand.unet.config.cross_attention_dim),
        ("body UNet channels", latent.channels, body.unet.config.in_channels),
        ("body UNet context width", text.width, body.unet.config.cross_attention_dim),
        ("ControlNet channels", latent.channels, body.controlnet.config.in_channels),
        ("ControlNet context width", text.width, body.controlnet.config.cross_attention_dim),
        ("hint channels", settings.body.hint_channels, hint.conv_in.in_channels),
        ("hint encoder pixels per cell", latent.factor, 2 ** strides.count(2)),
    ]
    for what, expected, got in found:
        if expected != got:
            raise UserError(f"{what}: the settings say {expected}, the network has {got}; train or convert it again")
