"""The parts of a part refiner that become graphs: role, module, and the spec of what it takes and gives.

    role            inputs                                                        outputs
    text_encoder    ids                                                           context       where it reads text
    image_encoder   picture                                                       context
    pose_guider     pose                                                          pose_feature
    vae_encoder     image                                                         latent
    reference_unet  sample, timestep, context, pose_feature                       bank_00, bank_01, ...
    main_unet       sample, timestep, context, pose_feature, referenced, bank_*   prediction
    inpaint_unet    sample, timestep, context                                     prediction
    vae_decoder     latent                                                        image

A model that is drawn by control has no image_encoder, reference_unet or main_unet; its inpaint_unet is told the
pose_feature, too.

Knows nothing about ONNX. Sizes come from the settings and from the networks' own configs, never from a literal.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from handfirst.engines.errors import UserError
from handfirst.engines.spec import DType, EngineSpec, TensorSpec
from handfirst.export.codec import Decoder, Encoder
from handfirst.export.part import BATCH, CELLS, PIXELS, Part, PartMaker
from handfirst.export.systems.part_refiner.modules import ControlledUNet, InpaintUNet, MainUNet, ReferenceUNet
from handfirst.runtime.systems.part_refiner.roles import BANK, roles
from handfirst.training.models.text_encoder import TextContext
from handfirst.training.systems.part_refiner.model_folder import PartRefinerFolder
from handfirst.training.systems.part_refiner.networks import fix_positions


def part_makers(model: PartRefinerFolder) -> dict[str, PartMaker]:
    """By role, in the order in which the runtime uses them, what makes each part.

    Raises:
        UserError: a network's configuration contradicts the settings, or another network.
    """
    makers: dict[str, PartMaker] = {
        "text_encoder": lambda: _text_encoder(model),
        "pose_guider": lambda: _pose_guider(model),
        "vae_encoder": lambda: _vae_encoder(model),
        "inpaint_unet": lambda: _inpaint_unet(model),
        "vae_decoder": lambda: _vae_decoder(model),
    }
    if model.settings.drawn_by == "control":
        _check_controlled(model)
    else:
        _check_fit(model)
        banks = _banks(model)
        makers |= {
            "image_encoder": lambda: _image_encoder(model),
            "reference_unet": lambda: _reference_unet(model, banks),
            "main_unet": lambda: _main_unet(model, banks),
        }
    return {role: makers[role] for role in roles(model.settings)}


def _tensor(name: str, *shape: int | str, dtype: DType = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=(BATCH, *shape))


def _text_encoder(model: PartRefinerFolder) -> Part:
    text = model.settings.text
    assert text is not None
    spec = EngineSpec(
        inputs=(_tensor("ids", text.length, dtype="int64"),), outputs=(_tensor("context", text.length, text.width),)
    )
    encoder = model.network("text_encoder")
    return Part("text_encoder", TextContext(encoder), spec, {"ids": encoder.config.vocab_size})


def _image_encoder(model: PartRefinerFolder) -> Part:
    """With a position table for just this size."""
    size = model.settings.image_encoder.size
    image = model.network("image_encoder")
    fix_positions(image.encoder, size)
    return Part(
        "image_encoder", image, EngineSpec(inputs=(_tensor("picture", 3, size, size),), outputs=(_seen(model),))
    )


def _pose_guider(model: PartRefinerFolder) -> Part:
    size = model.settings.part.size
    spec = EngineSpec(inputs=(_tensor("pose", 3, size, size),), outputs=(_pose_feature(model),))
    return Part("pose_guider", model.network("pose_guider"), spec)


def _reference_unet(model: PartRefinerFolder, banks: tuple[TensorSpec, ...]) -> Part:
    spec = EngineSpec(inputs=_told(model), outputs=banks)
    return Part("reference_unet", ReferenceUNet(model.network("reference_unet")), spec, _step_bounds(model))


def _main_unet(model: PartRefinerFolder, banks: tuple[TensorSpec, ...]) -> Part:
    spec = EngineSpec(inputs=(*_told(model), _tensor("referenced"), *banks), outputs=(_prediction(model),))
    return Part("main_unet", MainUNet(model.network("main_unet")), spec, _step_bounds(model))


def _inpaint_unet(model: PartRefinerFolder) -> Part:
    cells, channels = model.settings.cells, model.settings.latent.channels
    sample, timestep = _tensor("sample", 2 * channels + 1, cells, cells), _tensor("timestep", dtype="int64")
    told: tuple[TensorSpec, ...] = (sample, timestep, _tensor("context", *_words(model)))
    unet = model.network("inpaint_unet")
    module: nn.Module = InpaintUNet(unet)
    if model.settings.drawn_by == "control":
        told = (*told, _pose_feature(model))
        module = ControlledUNet(unet, model.network("controlnet"))
    spec = EngineSpec(inputs=told, outputs=(_prediction(model),))
    return Part("inpaint_unet", module, spec, _step_bounds(model))


def _vae_encoder(model: PartRefinerFolder) -> Part:
    latent = model.settings.latent
    spec = EngineSpec(inputs=(_tensor("image", 3, *PIXELS),), outputs=(_tensor("latent", latent.channels, *CELLS),))
    return Part("vae_encoder", Encoder(model.network("autoencoder")), spec, cell=latent.factor)


def _vae_decoder(model: PartRefinerFolder) -> Part:
    latent = model.settings.latent
    spec = EngineSpec(inputs=(_tensor("latent", latent.channels, *CELLS),), outputs=(_tensor("image", 3, *PIXELS),))
    return Part("vae_decoder", Decoder(model.network("autoencoder")), spec, cell=latent.factor)


def _told(model: PartRefinerFolder) -> tuple[TensorSpec, ...]:
    """What both UNets of stage 1 are given."""
    cells, channels = model.settings.cells, model.settings.latent.channels
    sample, timestep = _tensor("sample", channels, cells, cells), _tensor("timestep", dtype="int64")
    return sample, timestep, _seen(model), _pose_feature(model)


def _seen(model: PartRefinerFolder) -> TensorSpec:
    encoder = model.settings.image_encoder
    return _tensor("context", encoder.tokens, encoder.width)


def _pose_feature(model: PartRefinerFolder) -> TensorSpec:
    cells = model.settings.cells
    return _tensor("pose_feature", model.outline("pose_guider").conv_out.out_channels, cells, cells)


def _prediction(model: PartRefinerFolder) -> TensorSpec:
    cells = model.settings.cells
    return _tensor("prediction", model.settings.latent.channels, cells, cells)


def _words(model: PartRefinerFolder) -> tuple[int, int]:
    """L and D of what stage 2 is told."""
    text, context = model.settings.text, model.context()
    if text is not None:
        return text.length, text.width
    assert context is not None
    return context.shape[0], context.shape[1]


def _step_bounds(model: PartRefinerFolder) -> dict[str, int]:
    return {"timestep": model.settings.schedule.train_steps}


def _banks(model: PartRefinerFolder) -> tuple[TensorSpec, ...]:
    """One per transformer block; the shapes are read off an outline."""
    with torch.no_grad(), torch.device("meta"):
        dtypes = {"float32": torch.float32, "int64": torch.int64}
        given = [torch.zeros([1, *(int(n) for n in each.shape[1:])], dtype=dtypes[each.dtype]) for each in _told(model)]
        found = ReferenceUNet(model.outline("reference_unet")).eval()(*given)
    return tuple(_tensor(f"{BANK}{i:02}", *bank.shape[1:]) for i, bank in enumerate(found))


def _check_fit(model: PartRefinerFolder) -> None:
    """The networks' configurations against the settings, so that a mismatch is named before anything is exported."""
    latent, encoder = model.settings.latent, model.settings.image_encoder
    main, reference = model.outline("main_unet").config, model.outline("reference_unet").config
    patches = encoder.size // model.outline("image_encoder").encoder.config.patch_size
    _check_equal(
        ("image encoder tokens", encoder.tokens, 1 + patches**2),
        ("main UNet channels", latent.channels, main.in_channels),
        ("main UNet output channels", latent.channels, main.out_channels),
        ("main UNet context width", encoder.width, main.cross_attention_dim),
        ("reference UNet channels", latent.channels, reference.in_channels),
        ("reference UNet context width", encoder.width, reference.cross_attention_dim),
        *_of_pose_guider(model, main),
        *_of_inpaint_unet(model),
    )
    if list(main.block_out_channels) != list(reference.block_out_channels):
        raise UserError(
            f"reference UNet: expected the main one's widths {list(main.block_out_channels)}, "
            f"got {list(reference.block_out_channels)}; banks go from one to the other"
        )


def _check_controlled(model: PartRefinerFolder) -> None:
    """The same of a model that is drawn by control."""
    inpaint, control = model.outline("inpaint_unet").config, model.outline("controlnet").config
    _check_equal(
        ("ControlNet channels", model.settings.latent.channels, control.in_channels),
        ("ControlNet context width", _words(model)[1], control.cross_attention_dim),
        *_of_pose_guider(model, control),
        *_of_inpaint_unet(model),
    )
    if list(inpaint.block_out_channels) != list(control.block_out_channels):
        raise UserError(
            f"ControlNet: expected the inpainting UNet's widths {list(inpaint.block_out_channels)}, "
            f"got {list(control.block_out_channels)}; give one for the same kind of model"
        )


Found = tuple[str, int, int]
"""What it is, what the settings say, what the network has."""


def _of_inpaint_unet(model: PartRefinerFolder) -> tuple[Found, ...]:
    latent, inpaint = model.settings.latent, model.outline("inpaint_unet").config
    return (
        ("inpainting UNet input channels", 2 * latent.channels + 1, inpaint.in_channels),
        ("inpainting UNet output channels", latent.channels, inpaint.out_channels),
        ("inpainting UNet context width", _words(model)[1], inpaint.cross_attention_dim),
    )


def _of_pose_guider(model: PartRefinerFolder, taker: Any) -> tuple[Found, ...]:
    """taker: the configuration of the network that is given its feature."""
    guider = model.outline("pose_guider")
    strides = [layer.stride[0] for layer in guider.modules() if isinstance(layer, nn.Conv2d)]
    return (
        ("pose guider channels", taker.block_out_channels[0], guider.conv_out.out_channels),
        ("pose guider pixels per cell", model.settings.latent.factor, 2 ** strides.count(2)),
    )


def _check_equal(*found: Found) -> None:
    for what, expected, got in found:
        if expected != got:
            raise UserError(f"{what}: expected {expected} by the settings, the network has {got}; convert it again")
